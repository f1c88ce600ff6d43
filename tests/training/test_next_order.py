"""The day of the next order: predictions by rates and by own rhythms, and which is published."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from core.errors import PatronError
from core.home import Home
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.questions.next_order import HORIZON_DAYS, Rates, own_rhythm, rates_of, repeats
from models.questions.propensity import propensity
from models.registry.registry import Registry
from training.customers.next_order import (
    GATES,
    MIN_CUSTOMERS,
    NextOrderTest,
    fit,
    learn,
    measures_of,
    predictions_for,
)

# Predictions by rates


def test_half_of_those_who_order_in_time_do_so_by_the_predicted_day() -> None:
    """Customers drawn from the model itself, of every past; a third of them never order again."""
    rng = np.random.default_rng(5)
    rates, count = Rates(0.6, 40.0), 400_000
    tenure = rng.uniform(10, 600, count)
    rate = rng.gamma(rates.r, 1 / rates.alpha, count)
    orders = 1 + rng.poisson(rate * tenure)
    wait = np.where(rng.random(count) < 1 / 3, np.inf, rng.exponential(1 / rate))
    in_time = wait < HORIZON_DAYS
    given = rates.wait(orders, np.zeros(count), tenure)
    for few in (orders == 1, orders == 2, (orders > 2) & (orders < 6), orders > 9):
        by_then = np.floor(wait[in_time & few]) <= given[in_time & few]
        # Whole days round up to one day's share of the orders.
        assert 0.49 < by_then.mean() < 0.55


def test_frequent_customers_are_expected_sooner_and_never_beyond_the_horizon() -> None:
    rates = Rates(0.5, 30.0)
    waits = rates.wait([1, 2, 5, 50, 5000], 0, 300)
    assert (np.diff(waits) < 0).all()
    assert waits[-1] == 0
    assert Rates(1e-9, 1e9).wait(1, 0, 0)[()] == HORIZON_DAYS / 2 - 1  # evenly over all days
    with np.errstate(all="raise"):
        assert np.isfinite(rates.wait(1, 0, 0))


def test_orders_of_one_day_count_once() -> None:
    assert repeats([1, 4, 4, 4], [10, 10, 10, 10], [10, 10, 12, 40]).tolist() == [0, 0, 2, 3]


def test_a_rhythm_needs_three_orders() -> None:
    given = own_rhythm([1, 2, 3, 4], [5, 5, 5, 30], [np.nan, 9.0, 9.4, 9.0])
    assert given.tolist()[2:] == [4.0, -21.0]
    assert np.isnan(given[:2]).all()


# Which of them is published


def frame(
    orders: list[int], recency: list[int], tenure: list[int], gap: list[float], wait: list[float]
) -> pd.DataFrame:
    columns = {"orders_total": orders, "recency_days": recency, "tenure_days": tenure}
    return pd.DataFrame(columns | {"median_gap_days": gap, "label": wait, "customer_key": range(len(orders))})


def test_the_test_set_has_customers_who_ordered_lately() -> None:
    request = frame(
        [4, 4, 4, 1, 0], [10, 30, 181, 9, 0], [100, 120, 300, 9, 0], [20.0, 20, 20, 0, 0], [7.0] * 5
    )
    exam = predictions_for(Rates(0.5, 30.0), request)
    assert exam.customers.tolist() == [0, 1, 3]
    assert exam.rhythm[0] == 10
    assert np.isnan(exam.rhythm[1:]).all()  # overdue, and a single order
    assert exam.ours.tolist() == Rates(0.5, 30.0).wait([4, 4, 1], [10, 30, 9], [100, 120, 9]).tolist()


def test_customers_with_a_regular_rhythm_are_predicted_by_it() -> None:
    count = 2 * MIN_CUSTOMERS
    wait = np.arange(count) % 20.0
    exam = NextOrderTest(np.arange(count), wait, np.full(count, 9.0), wait)
    measures = measures_of(exam)
    assert measures["next_order_error_own_rhythm_days"] == 0
    refused = [gate.refusal(measures) for gate in GATES]
    assert refused[0] is not None
    assert "nearer than the customer's own rhythm" in refused[0]
    assert refused[1] is None


def test_measures_of_few_customers_are_left_out() -> None:
    few = np.ones(MIN_CUSTOMERS - 1)
    assert measures_of(NextOrderTest(np.arange(MIN_CUSTOMERS - 1), few, few, few)) == {}


def test_propensity_publishes_rates_with_their_measures(served: Home) -> None:
    registry = Registry(served)
    (version, *_) = registry.versions("propensity")
    rates = rates_of(registry.open("propensity", version.version).manifest)
    assert rates is not None
    assert version.metrics["next_order_customers"] >= MIN_CUSTOMERS
    assert 0 < version.metrics["next_order_error_days"] < HORIZON_DAYS / 4
    assert 0.35 < version.metrics["next_order_by_then"] < 0.65
    assert rates_of(registry.champion("churn").manifest) is None


def test_without_a_month_of_known_orders_the_own_rhythm_is_used(served: Home) -> None:
    now = served.shop().now()
    learnt = learn(Workspace(served, SnapshotSet({}, (), now)), propensity, [now - timedelta(days=179)])
    assert (learnt.rates, learnt.why) == (None, "no month's next 180 days are known yet")


def test_rates_of_customers_who_bought_once_are_refused() -> None:
    with pytest.raises(PatronError, match="none of the 20 customers bought again"):
        fit(frame([1] * 20, [9] * 20, [9] * 20, [np.nan] * 20, [1.0] * 20))
