"""Declared traits: what they mean at any moment, live as offline, and what is written in home.toml."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.declarations.traits import KINDS, TraitDeclaration, feature_name, parse, render
from core.errors import PatronError
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from events import journal, lake
from events.journal import Message
from events.schema import POPULATION, SCHEMAS, Events
from events.segment.translate import Place, translate
from features.groups import FEATURES, declared_group, features_of, groups_of
from features.groups.trait_values import NO, YES
from features.live import compiled
from features.offline.trait_draft import draft

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = (date(2024, 5, 1) - date(1970, 1, 1)).days
DECLARED = parse(
    {
        "points": {"kind": "number"},
        "address.city": {"kind": "text"},
        "vip": {"kind": "flag"},
        "birthday": {"kind": "day"},
    }
)
GROUP = declared_group(DECLARED)
NAMES = list(GROUP.features)
COMPILED = compiled.compile_groups((GROUP,))
CONNECTION = compiled.open_connection()
TraitRow = tuple[int, str, str | None]  # hours before noon, trait and value


def tables(rows: list[TraitRow]) -> dict[str, pa.Table]:
    by_name = {name: ibis.schema(schema).to_pyarrow().empty_table() for name, schema in SCHEMAS.items()}
    moments = [(NOON - timedelta(hours=hours)).replace(tzinfo=None) for hours, _, _ in rows]
    columns = [
        [1] * len(rows),
        moments,
        moments,
        [DAY] * len(rows),
        [t[1] for t in rows],
        [t[2] for t in rows],
    ]
    schema = ibis.schema(SCHEMAS["traits"]).to_pyarrow()
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return by_name | {"traits": pa.Table.from_arrays(arrays, schema=schema)}


def live(rows: list[TraitRow], as_of: datetime = NOON) -> dict[str, Any]:
    """The features by the compiled SQL that live rows are computed by."""
    schema = ibis.schema(POPULATION).to_pyarrow()
    population = pa.table([[1], [as_of.replace(tzinfo=None)], [DAY]], schema=schema)
    values = compiled.run(CONNECTION, COMPILED, tables(rows), population)[GROUP.name].to_pylist()
    return {name: values[0][name] for name in NAMES}


def offline(rows: list[TraitRow], as_of: datetime = NOON) -> dict[str, Any]:
    """The features by the definitions, as a build computes them."""
    events = Events(**{name: ibis.memtable(table) for name, table in tables(rows).items()})
    schema = ibis.schema(POPULATION).to_pyarrow()
    population = ibis.memtable(pa.table([[1], [as_of.replace(tzinfo=None)], [DAY]], schema=schema))
    values = lake.connect().to_pyarrow(GROUP.compute(events, population)).to_pylist()
    return {name: values[0][name] for name in NAMES}


@pytest.mark.parametrize("word", YES + NO)
def test_a_flag_understands_what_people_write(word: str) -> None:
    for text in {word, word.upper(), f" {word} ", word.title()}:
        assert live([(1, "vip", text)])["trait_vip"] is (word in YES), text


@given(st.text(max_size=8).filter(lambda text: text.strip().lower() not in YES + NO and "\0" not in text))
def test_a_flag_that_is_not_understood_is_unknown(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    if text.strip().lower() not in YES + NO:
        assert live([(1, "vip", text)])["trait_vip"] is None


@pytest.mark.parametrize(
    ("trait", "value", "expected"),
    [
        ("points", "12.5", 12.5), ("points", " -3 ", -3.0), ("points", "1e3", 1000.0),
        ("points", "12,5", None), ("points", "NaN", None), ("points", "1e999", None),
        ("points", "true", None),
        ("address.city", " Köln ", "Köln"), ("address.city", "", None),
        ("birthday", "2024-04-30", 1), ("birthday", "1970-01-01T23:00:00-08:00", DAY),
        ("birthday", "2024-13-01", None), ("birthday", "1714435200", 1), ("birthday", "1714435200000", 1),
        ("birthday", "2024-05-03", -2), ("birthday", "soon", None),
    ],
)  # fmt: skip
def test_a_kind_reads_what_is_written(trait: str, value: str, expected: object) -> None:
    assert live([(1, trait, value)])[feature_name(trait)] == expected


def test_the_latest_value_counts_and_null_clears_from_then_on() -> None:
    rows: list[TraitRow] = [(9, "points", "1"), (6, "points", "2"), (3, "points", None)]
    counted = [live(rows, NOON - timedelta(hours=hours))["trait_points"] for hours in (7, 4, 1)]
    assert counted == [1.0, 2.0, None]
    assert live([*rows, (1, "points", "5")])["trait_points"] == 5.0


VALUES = st.sampled_from([None, "", "yes", "no", "1", "0", "7.5", "2024-01-01", "Köln", "maybe"])
ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["points", "address.city", "vip", "birthday", "x"]), VALUES),
    max_size=8,
)


@given(ROWS, st.integers(0, 3))
def test_live_values_are_those_of_a_build(rows: list[TraitRow], hours: int) -> None:
    as_of = NOON - timedelta(hours=hours)
    assert live(rows, as_of) == offline(rows, as_of)


def test_declarations_survive_what_writes_the_settings(tmp_path: Any) -> None:
    home = Home(tmp_path)
    shop = Shop("live", "UTC", "EUR", Clock())
    home.write_shop(shop)
    assert features_of(home) == FEATURES
    with open(home.settings_file, "a", encoding="utf-8") as file:
        file.write(render(DECLARED))
    home.write_shop(replace(shop, currency="USD"))
    assert home.shop().traits == DECLARED
    assert [*features_of(home)] == [*FEATURES, *NAMES]
    assert groups_of(home) is groups_of(home)


NAMES_OF_TRAITS = st.text(st.characters(codec="utf-8"), max_size=6)


@given(st.dictionaries(NAMES_OF_TRAITS, st.tuples(st.sampled_from(KINDS), NAMES_OF_TRAITS), max_size=4))
def test_what_is_written_in_home_toml_is_read_again(traits: dict[str, tuple[str, str]]) -> None:
    declared = tuple(
        TraitDeclaration(trait, kind, meaning or "?", f"trait_t{i}")
        for i, (trait, (kind, meaning)) in enumerate(traits.items())
    )
    assert parse(tomllib.loads(render(declared)).get("traits", {})) == declared


def test_a_draft_can_be_appended_to_home_toml_whatever_arrived(empty_home: Home) -> None:
    empty_home.write_shop(Shop("live", "UTC", "EUR", Clock()))
    lake.write(empty_home, lake.connect().con, "UTC", {"source": "live"})
    odd = {
        "firstName": "A",
        "first_name": "B",
        "fooBar": 1,
        "foo_bar": 2,
        "会员": 1,
        "a\n[b]": 1,
        "x\u2028y": 1,
    }
    phones = {"phone": "491511234567", "createdAt": "2020-01-01", "country": "DE", "vip": True, "gone": None}
    messages = [
        translate({"type": "identify", "userId": f"u{i}", "traits": odd | phones}, NOON, Place("UTC", "EUR"))
        for i in range(3)
    ]
    journal.append(Database(empty_home), [m for m in messages if isinstance(m, Message)], compacted_seq=0)
    with open(empty_home.settings_file, "a", encoding="utf-8") as file:
        file.write(draft(empty_home))
    declared = {each.trait: each.kind for each in empty_home.shop().traits}
    assert declared == {
        "fooBar": "flag",
        "a\n[b]": "flag",
        "x\u2028y": "flag",
        "vip": "flag",
    }
    assert "trait_foo_bar is another trait's" in empty_home.settings_file.read_text()
    assert draft(empty_home).count("\n[traits") == 0  # what is declared is not drafted again


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"a": {"kind": "colour"}}, "use one of number, text"),
        ({"address": {"city": {"kind": "text"}}}, "quote a name with dots"),
        ({"aB": {}, "a_b": {}}, "features of one name"),
        ({"会员": {}}, "add name ="),
    ],
)
def test_a_declaration_that_cannot_be_says_why(sections: dict[str, Any], why: str) -> None:
    with pytest.raises(PatronError, match=why):
        parse(sections)
