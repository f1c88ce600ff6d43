"""Explanations of scores: contributions that add up, and their texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.home import Home
from features.groups import FEATURES, GROUPS
from features.offline import snapshots
from features.offline.snapshot_set import SnapshotSet
from models.estimator import Array
from models.estimators.blend import FittedBlend
from models.estimators.trees import FittedTrees
from models.explain.facts import FACTS, WINDOW_DAYS, facts_of
from models.explain.reasons import attribute, effect_in_money, effect_in_points, explain
from models.explain.summary import sum_of_money, sum_of_points
from models.explain.words import band, counted, money, phrase, rank
from models.measures.metrics import sigmoid
from models.questions import MODELS, OPTIONAL
from models.registry.bundle import FittedModel
from models.registry.encoding import matrix
from models.registry.registry import Registry

Row = dict[str, Any]


@pytest.fixture(scope="module")
def columns(built: SnapshotSet) -> dict[str, list[Any]]:
    """The current features of all customers by name; None for missing ones."""
    return columns_of(built)


def columns_of(built: SnapshotSet) -> dict[str, list[Any]]:
    result: dict[str, list[Any]] = {}
    for group in GROUPS:
        frame = built.frame(group, built.current).sort_values("customer_key")
        for name in group.features:
            result[name] = frame[name].astype(object).where(frame[name].notna(), None).tolist()
    return result


@pytest.fixture(scope="module")
def rows(columns: dict[str, list[Any]]) -> list[Row]:
    return rows_of(columns)


def rows_of(columns: dict[str, list[Any]]) -> list[Row]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


ModelAndColumns = tuple[FittedModel, dict[str, list[Any]]]


@pytest.fixture(scope="module", params=[*MODELS, *OPTIONAL])
def model_and_columns(
    request: pytest.FixtureRequest, trained_shop: Home, columns: dict[str, list[Any]]
) -> ModelAndColumns:
    """Each model's champion, and the features of all customers of a shop that it applies to."""
    if request.param in MODELS:
        return Registry(trained_shop).champion(request.param), columns
    home: Home = request.getfixturevalue(f"{_SHOPS[request.param]}_shop")
    return Registry(home).champion(request.param), columns_of(snapshots.build(home))


_SHOPS = {"leads": "prospects", "subscription_churn": "subscribers"}
"""For each optional model a shop with the data that it needs."""


def test_contributions_and_base_add_up_to_the_raw_score(model_and_columns: ModelAndColumns) -> None:
    model, columns = model_and_columns
    x = matrix(model.columns, columns)
    contributions = model.fitted.contributions(x)
    raw = raw_of(model, x)
    assert len(x) > 500
    assert contributions.shape == (len(x), len(model.columns) + 1)
    np.testing.assert_allclose(contributions.sum(axis=1), raw, rtol=0, atol=1e-9)
    assert len({*contributions[:, -1]}) == 1
    np.testing.assert_array_equal(model.fitted.corrected(raw), model.fitted.predict(x))


def raw_of(model: FittedModel, x: Array) -> Array:
    """The raw scores: of a blend its own, of trees those of the booster."""
    if isinstance(model.fitted, FittedTrees):
        return np.asarray(model.fitted.booster.predict(x, raw_score=True, num_threads=1))
    assert isinstance(model.fitted, FittedBlend)
    return model.fitted.raw(x)


def test_base_reasons_and_rest_add_up_to_the_score_that_is_served(model_and_columns: ModelAndColumns) -> None:
    (model, columns), directions = model_and_columns, set()
    sign = -1 if model.manifest["complement"] else 1
    raws = sign * raw_of(model, matrix(model.columns, columns))
    for row, score, raw in list(zip(rows_of(columns), model.score(columns), raws, strict=True))[::7]:
        why = explain(model, row, "EUR")
        total = why.base + sum(reason.contribution for reason in why.reasons) + why.rest
        assert total == pytest.approx(score, rel=1e-9, abs=1e-9)
        raw_total = why.bias + sum(reason.raw_contribution for reason in why.reasons) + why.raw_rest
        assert raw_total == pytest.approx(raw, rel=0, abs=1e-9)
        assert why.raw_score == pytest.approx(raw, rel=0, abs=1e-9)
        sizes = [abs(reason.contribution) for reason in why.reasons]
        assert sizes == sorted(sizes, reverse=True)
        assert len(why.reasons) <= 4
        names = [name for reason in why.reasons for name in (reason.feature, *reason.others)]
        assert len({*names}) == len(names)  # no fact is two reasons
        assert shown_sum(why.summary) == pytest.approx(0, abs=1e-9)
        for reason in why.reasons:
            assert reason.value == row[reason.feature]
            assert ("+" in reason.words.rpartition(": ")[2]) == (reason.contribution > 0)
        everything = explain(model, row, "EUR", top=len(model.columns))
        assert everything.reasons[: len(why.reasons)] == why.reasons
        directions |= {reason.contribution > 0 for reason in why.reasons}
    assert directions == {True, False}


def shown_sum(summary: tuple[str, ...]) -> float:
    """The shown base and contributions less the shown score, as a reader adds them up."""

    def number(line: str) -> float:
        text = line.rpartition(": ")[2].replace(",", "").replace("−", "-")
        return float(re.match(r"[+-]?[\d.]+", text)[0])  # type: ignore[index]

    assert summary[0].startswith("Before anything is known of the customer: ")
    assert summary[-1].startswith("Together: ")
    return sum(map(number, summary[:-1])) - number(summary[-1])


def test_the_opposite_model_has_the_opposite_contributions(trained_shop: Home, rows: list[Row]) -> None:
    model = Registry(trained_shop).champion("propensity")
    opposite = replace(model, manifest={**model.manifest, "complement": True})
    for row in rows[::50]:
        why, why_not = explain(model, row, "EUR"), explain(opposite, row, "EUR")
        assert why_not.base == 1 - why.base
        assert why_not.rest == pytest.approx(-why.rest, abs=1e-12)
        assert [r.feature for r in why_not.reasons] == [r.feature for r in why.reasons]
        assert [r.contribution for r in why_not.reasons] == [-r.contribution for r in why.reasons]
        turned = str.maketrans("+−", "−+")
        assert [r.words for r in why_not.reasons] == [r.words.translate(turned) for r in why.reasons]


def test_a_longer_silence_raises_churn_and_lowers_propensity(trained_shop: Home, rows: list[Row]) -> None:
    churn, propensity = (Registry(trained_shop).champion(name) for name in ("churn", "propensity"))
    silent = [row for row in rows if row["recency_days"] and row["recency_days"] > 365]
    assert len(silent) > 100
    for row in silent[::10]:
        given_value = {}
        for model in (churn, propensity):
            why = explain(model, row, "EUR", top=99)
            reason = next(r for r in why.reasons if "recency_days" in (r.feature, *r.others))
            # That nothing was ordered in 30, 90 and 365 days is the same fact.
            assert {"orders_90d", "orders_365d", "spend_90d"} <= {reason.feature, *reason.others}
            if reason.feature == "recency_days":
                assert reason.words.startswith(f"The latest order {row['recency_days']} days ago: ")
            given_value[model.name] = reason
        assert given_value["churn"].contribution > 0 > given_value["propensity"].contribution


LINKS: dict[str, Callable[[Any], Any]] = {
    "probability": lambda raw: sigmoid(1.2 * raw - 0.3),
    "money": lambda raw: 1.1 * np.exp(raw),
}
sizes = st.floats(-3, 3) | st.floats(-1e-8, 1e-8) | st.just(0.0)


@pytest.mark.parametrize("link", LINKS)
@given(parts=st.lists(sizes, min_size=1, max_size=30), start=st.floats(-5, 5), balanced=st.booleans())
def test_raw_contributions_become_contributions_to_the_score(
    link: str, parts: list[float], start: float, balanced: bool
) -> None:
    parts = [*parts, *(-part for part in reversed(parts))] if balanced else parts
    base, shares = attribute(np.array([*parts, start]), LINKS[link])
    raw = start + np.array(parts).sum()
    assert base == LINKS[link](np.array(start))
    assert base + shares.sum() == pytest.approx(LINKS[link](np.array(raw)), rel=1e-9, abs=1e-12)
    # One factor for all, and never a negative one: who raised the raw score raised the score.
    assert all(share * part >= 0 for share, part in zip(shares, parts, strict=True))
    assert np.argsort(np.abs(shares), kind="stable").tolist() == sorted(
        range(len(parts)), key=lambda i: abs(shares[i])
    )


# Facts and words


def test_every_feature_states_one_fact_and_exists() -> None:
    names = [name for fact in FACTS for name in fact]
    assert len({*names}) == len(names)
    assert {*names, *WINDOW_DAYS} <= {*FEATURES}


def test_no_order_in_a_window_is_stated_by_the_latest_order() -> None:
    names = ["orders_30d", "recency_days", "orders_90d", "orders_365d", "country", "overdue_ratio"]
    values = {"recency_days": 60, "orders_30d": 0, "orders_90d": 1, "orders_365d": 2}
    values |= {"country": "DE", "overdue_ratio": 1.5}
    by_fact = [[names[place] for place in places] for places in facts_of(names, values)]
    last_order = ["orders_30d", "recency_days", "overdue_ratio"]
    assert by_fact == [last_order, ["orders_90d", "orders_365d"], ["country"]]
    lately = facts_of(names, values | {"recency_days": 5, "orders_30d": 1})
    assert [names[place] for place in lately[0]] == ["orders_30d", "orders_90d", "orders_365d"]
    never = dict.fromkeys(names, None) | {"orders_30d": 0, "orders_90d": 0, "orders_365d": 0}
    assert len(facts_of(names, never)) == 3


@pytest.mark.parametrize(
    ("lines", "summary"),
    [
        (
            sum_of_points(0.41, [0.1234, -0.004], ["a: +12 points", "b: −0.4 points"], 0.0351),
            ["41.0%", "a: +12 points", "b: −0.4 points", "−49.1 points", "3.5%"],
        ),
        (sum_of_points(0.2, [0.1], ["a: +10 points"], 0.3), ["20.0%", "a: +10 points", "30.0%"]),
        (
            sum_of_money(95.2, [1500.4], ["a: +1,500 EUR"], 1234.4, "EUR"),
            ["95.20 EUR", "a: +1,500 EUR", "−361.20 EUR", "1,234 EUR"],
        ),
        (sum_of_money(0.0, [], [], 120.0, "EUR"), ["0 EUR", "+120 EUR", "120 EUR"]),
    ],
)
def test_a_summary_adds_up_as_it_is_shown(lines: tuple[str, ...], summary: list[str]) -> None:
    assert shown_sum(lines) == pytest.approx(0, abs=1e-9)
    labels = ("Before anything is known of the customer: ", "Everything else: ", "Together: ")
    bare = list(lines)
    for label in labels:
        bare = [line.removeprefix(label) for line in bare]
    assert bare == summary


@pytest.mark.parametrize(
    ("percentile", "english", "chinese"),
    [
        (0, "lower than for 99 of 100 customers", "低于 100 位客户中的 99 位"),
        (12, "lower than for 8 of 10 customers", "低于 10 位客户中的 8 位"),
        (50, "as for a typical customer", "与一般客户相当"),
        (90, "higher than for 9 of 10 customers", "高于 10 位客户中的 9 位"),
        (98.9, "higher than for 9 of 10 customers", "高于 10 位客户中的 9 位"),
        (100, "higher than for 99 of 100 customers", "高于 100 位客户中的 99 位"),
    ],
)
def test_a_percentile_in_words(percentile: float, english: str, chinese: str) -> None:
    assert (rank(percentile), rank(percentile, "zh")) == (english, chinese)


@pytest.mark.parametrize(
    ("percentile", "english", "chinese"),
    [
        (0, "very low", "很低"),
        (9.9, "very low", "很低"),
        (10, "low", "较低"),
        (30, "medium", "中等"),
        (69.9, "medium", "中等"),
        (70, "high", "较高"),
        (90, "very high", "很高"),
        (100, "very high", "很高"),
    ],
)
def test_a_percentile_in_a_word(percentile: float, english: str, chinese: str) -> None:
    assert (band(percentile), band(percentile, "zh")) == (english, chinese)


@pytest.mark.parametrize(
    ("feature", "value", "words"),
    [
        ("recency_days", 84, "The latest order 84 days ago"),
        ("recency_days", 1, "The latest order 1 day ago"),
        ("recency_days", 0, "The latest order today"),
        ("recency_days", None, "Days since the latest order (unknown)"),
        ("days_since_refund", 1200, "Money was last given back 1,200 days ago"),
        ("orders_total", 1, "1 order placed so far"),
        ("orders_90d", 0, "0 orders placed in the last 90 days"),
        ("distinct_products", 12, "12 different products bought so far"),
        ("distinct_categories", 1, "1 different category bought so far"),
        ("spend_90d", 12.5, "12.50 EUR paid in the last 90 days, before refunds"),
        ("spend_total", 12345.6, "12,346 EUR paid so far, before refunds"),
        ("refunded_total", 0.0, "0 EUR given back so far"),
        ("average_order_value", float("nan"), "Mean amount paid per order (unknown)"),
        ("average_order_value", 52.0, "Mean amount paid per order (52.00 EUR)"),
        ("median_gap_days", 30.5, "Median number of days between one order and the next (30.5 days)"),
        ("longest_gap_days", 1, "Most days between one order and the next (1 day)"),
        ("refund_share", 0.125, "Share of what was paid so far that was given back (12%)"),
        ("category_entropy", 1.5, "Shannon entropy of the spend over product categories (1.50 bits)"),
        ("overdue_ratio", 2.345, "Days since the latest order over the median gap, at least a day (2.35)"),
        ("newsletter", True, "The customer takes the newsletter (yes)"),
        ("newsletter", False, "The customer takes the newsletter (no)"),
        ("country", "DE", "The country last known (DE)"),
    ],
)
def test_a_features_value_is_described_by_its_meaning_and_unit(feature: str, value: Any, words: str) -> None:
    assert phrase(FEATURES[feature].meaning, FEATURES[feature].unit, value, "EUR") == words


@pytest.mark.parametrize("feature", FEATURES.values(), ids=str)
def test_every_feature_has_words_for_every_value(feature: Any) -> None:
    values = {"int64": [0, 1, 2, 10**6], "float64": [0.0, 1.0, 0.5, -2.0], "boolean": [True, False]}
    given_value = [
        phrase(feature.meaning, feature.unit, value, "EUR")
        for value in [None, *values.get(feature.dtype, ["one", "two"])]
    ]
    assert len({*given_value}) == len(given_value)
    for words in given_value:
        assert words[0].isupper() or words[0].isdigit() or words[0] == "−"
        assert not words.endswith((".", ":", ";"))
        assert not words.startswith("1 ") or feature.unit not in words.split()[:3]
    assert given_value[0].endswith(" (unknown)")


@pytest.mark.parametrize(
    ("contribution", "words"),
    [
        (0.12, "+12 points"), (-0.123, "−12 points"), (0.01, "+1 point"), (-0.0096, "−1 point"),
        (0.004, "+0.4 points"), (-0.0005, "−0.1 points"), (0.0004, None), (0.0, None), (1.0, "+100 points"),
    ],
)  # fmt: skip
def test_points_are_rounded_to_a_meaningful_digit(contribution: float, words: str | None) -> None:
    assert effect_in_points(contribution) == words


def test_money_is_rounded_to_a_meaningful_digit() -> None:
    given_value = [effect_in_money("GBP")(x) for x in (1234.5, -99.99, -99.999, 0.01, -0.004, 0.0)]
    assert given_value == ["+1,234 GBP", "−99.99 GBP", "−100 GBP", "+0.01 GBP", None, None]
    assert money(-12.5, "EUR") == "−12.50 EUR"
    assert money(0, "EUR") == "0 EUR"
    assert [counted(n, "categories") for n in (0, 1, 1.04, 1.5)] == [
        "0 categories", "1 category", "1 category", "1.5 categories",
    ]  # fmt: skip
