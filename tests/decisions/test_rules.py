"""The rule language: text, tables, Python and DuckDB agree on what a rule means."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend

from core.calendar import EPOCH
from core.declarations import traits
from core.storage import duckdb_engine
from decisions.catalogue.audiences import resolved
from decisions.context import ScoreInput
from decisions.rules.conditions import rule_of
from decisions.rules.dates import FESTIVALS, festival_within, month_days
from decisions.rules.evaluation import RuleInput, evaluate, mismatch
from decisions.rules.expression import expression
from decisions.rules.text import parse
from decisions.rules.tree import (
    Known,
    Rule,
    all_of,
    any_of,
    negation,
    terms,
    with_audiences,
)
from decisions.rules.vocabulary import EVENTS, RuleError, Vocabulary, comparison, vocabulary
from decisions.rules.writing import text_of
from features.groups import FEATURES
from features.groups.declared import declared_group
from models.questions import every

DECLARED = declared_group(traits.parse({"birthday": {"kind": "day"}, "city": {"kind": "text"}})).features
WORDS = Vocabulary(FEATURES | DECLARED)
TODAY = (date(2027, 2, 27) - EPOCH).days


def day(text: str) -> int:
    return (date.fromisoformat(text) - EPOCH).days


def customer(today: int = TODAY, churn: float | None = None, **facts: Any) -> RuleInput:
    return RuleInput(facts, {"churn": ScoreInput(churn, "has not ordered yet")}, today, today)


def holds(text: str, who: RuleInput) -> bool | None:
    return evaluate(parse(text, WORDS), who)


# Text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (
            "churn > 0.5 and value_tier in (A, B) and not open_complaint",
            "churn > 0.5 and value_tier in (A, B) and not open_complaints",
        ),
        ("churn > 50%", "churn > 0.5"),
        ("NOT newsletter OR orders_90d >= 2", "not newsletter or orders_90d >= 2"),
        ("newsletter = false", "not newsletter"),
        ("country != DE", "country != DE"),
        ("country not in ('DE', \"A \\u00e4\")", 'country not in (DE, "A ä")'),
        ("country = \"and\"", 'country = "and"'),
        ("since order >= 60", "recency_days >= 60"),
        ("orders_total between 1 and 3", "orders_total >= 1 and orders_total <= 3"),
        ("any(newsletter, clv = 1) and clv ≤ 3", "(newsletter or clv = 1.0) and clv <= 3.0"),
        ("none(newsletter, country = DE)", "not (newsletter or country = DE)"),
        ("not not newsletter", "newsletter"),
        ("((newsletter))", "newsletter"),
        ("clv is not known", "clv is not known"),
        ("birthday within 7 days", "birthday within 7 days"),
        ("qixi within 14 days and trait_city = 上海", "qixi within 14 days and trait_city = 上海"),
        ("in audience vip or orders_total = 1e0", "in audience vip or orders_total = 1"),
        ("rfm_segment = lost", "rfm_segment = inactive"),
    ],
)  # fmt: skip
def test_a_line_of_text_is_read_and_written_canonically(text: str, canonical: str) -> None:
    assert text_of(parse(text, WORDS)) == canonical
    assert parse(canonical, WORDS) == parse(text, WORDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: the rule ends; expected a feature, a score or ("),
        ("chrun > 0.5", "column 1: there is no feature 'chrun'; did you mean churn?"),
        ("newsletter and", "column 15: the rule ends; expected a feature, a score or ("),
        ("newsletter country", "column 12: there is 'country'; expected and, or, or the end of the rule"),
        ("churn > 0,5", "column 10: there is ','; expected and, or, or the end of the rule"),
        ("churn > high", "column 1: churn is a number, so it cannot be compared like this"),
        ("country > 3", "column 1: country is a text, so it cannot be compared like this"),
        (
            "country = 3",
            'column 1: country is a text, so it cannot be compared like this; in quotes "3" is a text',
        ),
        ("newsletter = 1", "column 1: newsletter is true or false, so it cannot be compared like this"),
        ("country", 'column 1: country is a text; compare it, as in country = "…"'),
        ("churn", "column 1: churn is a number; compare it, as in churn > …"),
        ("(newsletter", "column 12: the rule ends; expected and, or, or )"),
        ("value_tier in A", "column 15: there is 'A'; expected ("),
        ("value_tier in ()", "column 16: there is ')'; expected a value; put a text in quotes"),
        ("country = and", "column 11: there is 'and'; expected a value; put a text in quotes"),
        ('country = "DE', "column 11: '\"DE' cannot be read; the quote is not closed"),
        ("country = “DE”", "column 11: '“DE”' cannot be read"),
        ("orders_total > 3d", "column 16: '3d' cannot be read"),
        ("since ordr > 3", "column 7: no days are counted since 'ordr'; did you mean order?"),
        ("christmass within 3 days", "column 1: there is no date 'christmass'; did you mean christmas?"),
        ("birthday within 7", "column 18: the rule ends; expected days"),
        ("birthday within 999 days", "column 1: within takes 0 to 366 days"),
        ("churn is unknown", "column 10: there is 'unknown'; expected known"),
        (
            "(" * 60 + "newsletter" + ")" * 60,
            "column 51: there is '('; expected at most 50 parentheses inside each other",
        ),
        ("newsletter or " * 400, "a rule has at most 4000 characters; name parts of it as audiences"),
        ("clv = 99999999999999999999", "column 1: clv cannot be compared with a number of that size"),
    ],
)  # fmt: skip
def test_an_error_has_the_column_the_text_and_what_is_expected(text: str, message: str) -> None:
    with pytest.raises(RuleError) as error:
        parse(text, WORDS)
    assert str(error.value) == message


def test_a_birthday_needs_a_declared_trait() -> None:
    with pytest.raises(RuleError, match=r"a section \[traits.birthday\] with kind = \"day\""):
        parse("birthday within 7 days", vocabulary(None))


def test_every_event_has_a_feature_and_no_model_the_name_of_one() -> None:
    assert set(EVENTS.values()) <= set(FEATURES)
    assert not set(every()) & set(FEATURES)
    assert not set(FESTIVALS) & set(FEATURES)


def test_tables_are_rules_too_and_errors_in_them_have_a_path() -> None:
    table = {
        "any": [
            {"feature": "churn", "at_least": 0.5},
            {"none": ["newsletter", {"feature": "country", "one_of": ["DE", "AT"]}]},
            {"audience": "vip"},
        ]
    }
    assert (
        text_of(rule_of(table))
        == "churn >= 0.5 or not (newsletter or country in (DE, AT)) or in audience vip"
    )
    assert rule_of(["newsletter", "churn > 0.5"]) == rule_of("newsletter and churn > 0.5")
    for wrong, message in [
        ({"any": ["newsletter", {"none": ["chrun > 1"]}]}, "any.2.none.1: column 1: there is no feature"),
        ({"any": []}, "any is a list of rules"),
        ({"any": ["newsletter"], "all": []}, "alone in its table"),
        ({"all": [{"feature": "country", "at_least": 3}]}, "all.1: country is a text"),
        (3, "a rule is a text such as"),
    ]:  # fmt: skip
        with pytest.raises(RuleError, match=message):
            rule_of(wrong)


# Meaning


@pytest.mark.parametrize(
    ("value", "compared", "opposite", "known"),
    [(True, True, False, True), (False, False, True, True), (None, None, None, False)],
)
def test_a_missing_value_is_unknown_and_so_is_its_opposite(
    value: bool | None, compared: bool | None, opposite: bool | None, known: bool
) -> None:
    who = customer(newsletter=value)
    assert holds("newsletter", who) is compared
    assert holds("not newsletter", who) is opposite
    assert holds("newsletter is known", who) is known
    assert holds("newsletter is not known or newsletter", who) is (not known or value)


@pytest.mark.parametrize("a", [True, False, None])
@pytest.mark.parametrize("b", [True, False, None])
def test_the_truth_table_is_that_of_sql(a: bool | None, b: bool | None) -> None:
    who = customer(newsletter=a, unsubscribed_email=b)
    both, either = (
        holds("newsletter and unsubscribed_email", who),
        holds("newsletter or unsubscribed_email", who),
    )
    assert both is (False if False in (a, b) else None if None in (a, b) else True)
    assert either is (True if True in (a, b) else None if None in (a, b) else False)
    opposite = None if either is None else not either
    assert holds("none(newsletter, unsubscribed_email)", who) is opposite


@pytest.mark.parametrize(
    ("text", "facts", "english"),
    [
        ("recency_days > 3", {"recency_days": 3}, "recency_days is 3 and must be above 3"),
        ("recency_days < 3", {"recency_days": 3}, "recency_days is 3 and must be below 3"),
        ("churn > 0.5", {}, "no churn score: has not ordered yet"),
        ("not open_complaints", {"open_complaints": 2}, "open_complaints is 2 and must be at most 0"),
        ("not newsletter", {"newsletter": True}, "newsletter is yes and must be no"),
        ("country != DE", {"country": "DE"}, "country is DE, which is excluded"),
        (
            "newsletter or recency_days < 3",
            {"newsletter": False},
            "none of these holds: newsletter is no and must be yes; recency_days is not known",
        ),
        ("clv is not known", {"clv": 3}, None),
        ("country is known", {}, "country is not known"),
        ("not (newsletter and recency_days < 3)", {"newsletter": True, "recency_days": 1},
         "excluded by the rule: newsletter and recency_days < 3"),
        ("christmas within 7 days", {}, "christmas is not within 7 days"),
    ],
)  # fmt: skip
def test_a_refusal_names_what_decided(text: str, facts: dict[str, Any], english: str | None) -> None:
    why = mismatch(parse(text, WORDS), customer(**facts))
    assert (why and why.words("en")) == english
    assert why is None or why.words("zh")


def test_an_audience_is_part_of_the_rule_and_never_of_itself() -> None:
    rules = {name: parse(text, WORDS) for name, text in {
        "vip": "value_tier = A", "close": "in audience vip and newsletter"}.items()}  # fmt: skip
    known = resolved(rules)
    rule = with_audiences(parse("in audience close", WORDS), known.__getitem__)
    assert evaluate(rule, customer(value_tier="A", newsletter=True)) is True
    why = mismatch(rule, customer(value_tier="B", newsletter=True))
    assert why is not None
    assert why.words("en") == (
        "not in the audience close: not in the audience vip: value_tier is B and must be A"
    )
    assert {term.name for term in terms(rule)} == {"value_tier", "newsletter"}
    circle = {"a": parse("in audience b", WORDS), "b": parse("newsletter or in audience a", WORDS)}
    with pytest.raises(ValueError, match="audience a refers to itself: a → b → a"):
        resolved(circle)
    with pytest.raises(ValueError, match=r"audience a: rule: there is no audience 'vpi'; did you mean vip\?"):
        resolved({"a": parse("in audience vpi", WORDS), "vip": parse("newsletter", WORDS)})


# Dates


def test_a_birthday_on_29_february_comes_once_every_year() -> None:
    born = day("2000-02-29")
    days = [
        current
        for current in range(day("2026-01-01"), day("2030-01-01"))
        if holds("birthday within 0 days", customer(current, trait_birthday=current - born))
    ]
    assert [str(EPOCH + timedelta(days=d)) for d in days] == [
        "2026-02-28", "2027-02-28", "2028-02-29", "2029-02-28",
    ]  # fmt: skip


def test_festivals_are_those_of_the_calendars() -> None:
    expected = {
        "spring_festival": ["2024-02-10", "2025-01-29", "2026-02-17", "2027-02-06"],
        "mid_autumn_festival": ["2024-09-17", "2025-10-06", "2026-09-25", "2027-09-15"],
        "dragon_boat_festival": ["2024-06-10", "2025-05-31", "2026-06-19", "2027-06-09"],
        "qixi": ["2024-08-10", "2025-08-29", "2026-08-19", "2027-08-08"],
        "easter": ["2024-03-31", "2025-04-20", "2026-04-05", "2027-03-28"],
        "black_friday": ["2024-11-29", "2025-11-28", "2026-11-27", "2027-11-26"],
        "mothers_day": ["2024-05-12", "2025-05-11", "2026-05-10", "2027-05-09"],
    }
    for name, dates in expected.items():
        assert [str(FESTIVALS[name](year)) for year in range(2024, 2028)] == dates
    eve = day("2026-02-16")
    assert [festival_within("spring_festival", eve - 13 + i, 14) for i in (-1, 0, 14, 15)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not festival_within("spring_festival", day("2150-01-01"), 366)
    assert month_days(day("2027-12-31"), 1) == {1231, 101}


def test_anniversaries_and_renewals() -> None:
    assert holds("anniversary within 0 days", customer(day("2027-05-04"), tenure_days=365)) is True
    assert holds("anniversary within 0 days", customer(day("2027-05-04"), tenure_days=0)) is False
    assert holds("renewal within 7 days", customer(subscription_days_left=7)) is True
    assert holds("renewal within 7 days", customer(subscription_days_left=8)) is False
    assert holds("renewal within 7 days", customer(subscription_days_left=-1)) is False
    assert holds("renewal within 7 days", customer()) is None
    late = RuleInput({"subscription_days_left": 8}, {}, TODAY + 1, TODAY)
    assert holds("renewal within 7 days", late) is True


# Python and DuckDB

COLUMNS = {
    "orders_total": pa.int64(), "average_order_value": pa.float64(), "churn": pa.float64(),
    "country": pa.string(), "rfm_segment": pa.string(), "newsletter": pa.bool_(),
    "trait_birthday": pa.int64(), "tenure_days": pa.int64(), "subscription_days_left": pa.int64(),
}  # fmt: skip
TEXTS = [
    "DE",
    "de",
    "Köln",
    unicodedata.normalize("NFD", "Köln"),
    "Ko\u0308ln",
    "\u212a",
    "K",
    "",
    "上海",
    "a b",
]
SEGMENTS = ["loyal", "core", "at_risk", "slipping", "champions"]
INTEGERS = st.one_of(st.integers(-3, 5), st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, -(2**63) + 1]))
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=64, min_value=-1e18, max_value=1e18),
    st.sampled_from([0.0, -0.0, 0.1, 0.30000000000000004, 1 / 3, 2.0**53, 0.12345678901234568]),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "orders_total": st.one_of(INTEGERS, FLOATS.filter(lambda f: abs(f) < 2**63)),
    "average_order_value": st.one_of(FLOATS, st.integers(-3, 5)),
    "churn": st.floats(0, 1),
    "country": st.sampled_from(TEXTS),
    "rfm_segment": st.sampled_from(SEGMENTS),
}
NUMBERS = ("orders_total", "average_order_value", "churn")


@st.composite
def leaves(draw: st.DrawFn) -> Rule:
    kind = draw(st.sampled_from(["in", "order", "bool", "known", "date"]))
    if kind == "date":
        name = draw(st.sampled_from(["birthday", "anniversary", "renewal", "christmas", "spring_festival"]))
        return WORDS.date_within(name, draw(st.integers(0, 366)))
    if kind == "known":
        return Known(WORDS.term(draw(st.sampled_from([*COLUMNS]))))
    if kind == "bool":
        return comparison(WORDS.term("newsletter"), "in", [draw(st.booleans())])
    names = NUMBERS if kind == "order" else tuple(VALUES)
    term = WORDS.term(draw(st.sampled_from(names)))
    if kind == "order":
        sign = draw(st.sampled_from(["<", "<=", ">", ">="]))
        return comparison(term, sign, [draw(VALUES[term.name])])  # type: ignore[arg-type]
    return comparison(term, "in", draw(st.lists(VALUES[term.name], min_size=1, max_size=3)))


RULES = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(all_of),
        st.lists(inner, min_size=2, max_size=3).map(any_of),
        inner.map(negation),
    ),
    max_leaves=6,
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "orders_total": st.one_of(st.none(), INTEGERS),
            "average_order_value": st.one_of(st.none(), FLOATS, st.just(math.nan)),
            "churn": st.one_of(st.none(), st.floats(0, 1), st.just(math.nan)),
            "country": st.one_of(st.none(), st.sampled_from(TEXTS)),
            "rfm_segment": st.one_of(st.none(), st.sampled_from(SEGMENTS)),
            "newsletter": st.one_of(st.none(), st.booleans()),
            "trait_birthday": st.one_of(st.none(), st.integers(-400, 40_000), st.just(10**12)),
            "tenure_days": st.one_of(st.none(), st.integers(0, 1500)),
            "subscription_days_left": st.one_of(st.none(), st.integers(-30, 400)),
        }
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def duckdb() -> Iterator[Backend]:
    backend = duckdb_engine.connect()
    yield backend
    backend.disconnect()


@given(rule=RULES)
@settings(max_examples=200)
def test_what_is_written_is_read_back(rule: Rule) -> None:
    assert parse(text_of(rule), WORDS) == rule
    assert text_of(parse(text_of(rule), WORDS)) == text_of(rule)


@given(rule=RULES, rows=ROWS, today=st.integers(day("1999-12-01"), day("2030-03-01")), late=st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_python_and_duckdb_agree_on_every_customer(
    duckdb: Backend, rule: Rule, rows: list[dict[str, Any]], today: int, late: int
) -> None:
    content = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in COLUMNS.items()})
    table = ibis.table(content.schema, name="customers")
    sql = ibis.to_sql(table.select(inside=expression(rule, table, today, today - late)), dialect="duckdb")
    duckdb.con.register("customers", content)
    inside = duckdb.con.execute(str(sql)).to_arrow_table()["inside"].to_pylist()
    people = [RuleInput(row, {"churn": ScoreInput(row["churn"])}, today, today - late) for row in rows]
    assert inside == [evaluate(rule, who) for who in people], sql
    for who in people:
        why = mismatch(rule, who)
        assert (why is None) is (evaluate(rule, who) is True)
        assert why is None or (why.words("en") and why.words("zh"))
