"""Totals of predictions: intervals against simulation, and what they owe to the level."""

from __future__ import annotations

import numpy as np
import pytest

from models.estimator import Array
from models.measures.metrics import logit, sigmoid
from serving.totals.outcomes import (
    Outcomes,
    amounts,
    amounts_at_risk,
    probabilities,
    totals,
)

DRAWS = 4000
SD = 0.3
SIZES = (20, 300)
RNG = np.random.default_rng
KINDS = ("probabilities", "amounts", "at risk")


def made(kind: str, count: int) -> tuple[Outcomes, Array]:
    """Predictions for customers, and simulated totals of their outcomes, of which the level is not known."""
    rng = RNG(count)
    p, m = rng.beta(1.0, 2.0, count), rng.lognormal(3.0, 0.8, count)
    deviation = 1.5 * m
    if kind == "amounts":
        return amounts(m, deviation, SD), totals_of_amounts(rng, m, deviation, np.ones(1))
    shifted = logit(p) + rng.normal(0, SD, (DRAWS, 1))
    happening = (rng.random((DRAWS, count)) < sigmoid(shifted)).astype(float)
    if kind == "probabilities":
        return probabilities(p, SD), happening.sum(axis=1)
    outcomes = amounts_at_risk(probabilities(p, SD), amounts(m, deviation, SD))
    return outcomes, totals_of_amounts(rng, m, deviation, happening)


def totals_of_amounts(rng: np.random.Generator, m: Array, deviation: Array, counted: Array) -> Array:
    """Draws of the total of gamma distributed amounts that count, each at another level."""
    shape = (m / deviation) ** 2
    drawn = rng.gamma(shape, m / shape, (DRAWS, len(m))) * counted
    result: Array = drawn.sum(axis=1) * np.exp(rng.normal(0, SD, DRAWS))
    return result


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_nine_in_ten_simulated_totals_are_in_the_interval(kind: str, count: int) -> None:
    outcomes, simulated = made(kind, count)
    (total,) = totals(outcomes, np.zeros(count, np.int64), 1)
    assert total.low is not None
    assert total.high is not None
    inside = (simulated >= total.low) & (simulated <= total.high)
    assert 0.86 <= inside.mean() <= 0.965
    assert max((simulated < total.low).mean(), (simulated > total.high).mean()) <= 0.1
    assert total.low <= total.expected <= total.high
    assert total.customers == count


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_of_the_shop_is_wider_than_independent_customers_would_make_it(kind: str) -> None:
    def relative_width(outcomes: Outcomes, count: int) -> float:
        (total,) = totals(outcomes.at(np.arange(count)), np.zeros(count, np.int64), 1)
        assert total.low is not None
        assert total.high is not None
        return (total.high - total.low) / total.expected

    outcomes, _ = made(kind, 300)
    independent = Outcomes(outcomes.expected, outcomes.variance, [], outcomes.counted)
    assert relative_width(outcomes, 300) > 1.5 * relative_width(independent, 300)
    # More customers do not take the doubt about the level away.
    assert relative_width(independent, 300) < 0.6 * relative_width(independent, 75)
    assert relative_width(outcomes, 300) > 0.6 * relative_width(outcomes, 75)


def test_groups_add_up_and_customers_without_a_group_count_in_none() -> None:
    outcomes, _ = made("amounts", 300)
    group = np.arange(300) % 4 - 1
    by_group = totals(outcomes, group, 4)
    assert [total.customers for total in by_group] == [75, 75, 75, 0]
    for number, total in enumerate(by_group):
        assert total.expected == pytest.approx(outcomes.expected[group == number].sum())
    assert (by_group[3].expected, by_group[3].low, by_group[3].high) == (0.0, 0.0, 0.0)


def test_numbers_of_customers_are_whole_and_at_most_all_of_them() -> None:
    one, all_but_sure = (
        probabilities(np.array([0.5]), 0.0),
        probabilities(np.full(9, 0.99), 2.0),
    )
    (total,) = totals(one, np.zeros(1, np.int64), 1)
    assert (total.low, total.high) == (0.0, 1.0)
    (total,) = totals(all_but_sure, np.zeros(9, np.int64), 1)
    assert total.high == 9.0


def test_amounts_whose_spread_is_not_known_have_a_total_without_interval() -> None:
    worth = amounts(np.array([10.0, 5.0]), None, SD)
    for outcomes, expected in (
        (worth, 15.0),
        (amounts_at_risk(probabilities(np.array([0.5, 0.2]), 0.0), worth), 6.0),
    ):
        (total,) = totals(outcomes, np.zeros(2, np.int64), 1)
        assert total.expected == pytest.approx(expected)
        assert (total.low, total.high) == (None, None)


def test_customers_without_a_prediction_do_not_count() -> None:
    outcomes = amounts(np.array([10.0, 5.0]), np.ones(2), 0.0).at(np.array([1, -1, 0]))
    (total,) = totals(outcomes, np.zeros(3, np.int64), 1)
    assert (total.customers, total.expected) == (2, 15.0)


def test_nobody_has_a_total_of_nothing() -> None:
    (total,) = totals(probabilities(np.zeros(0), SD), np.zeros(0, np.int64), 1)
    assert (total.customers, total.expected, total.low, total.high) == (0, 0.0, 0.0, 0.0)
