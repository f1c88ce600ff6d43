"""The level of the next window: from the window before, last year's season, and newcomers' share."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.estimators import level
from models.estimators.level import forecast, intercept_for, uncertainty
from models.measures.metrics import sigmoid
from models.outcome_totals import OutcomeTotals
from tests.models.test_age_period import shop, truth

MONTH = 30
STEADY = OutcomeTotals(dict.fromkeys(range(90, 1000, MONTH), 100.0), dict.fromkeys(range(0, 1000), 100.0))
MONTHS = dict.fromkeys(range(90, 960, MONTH), 100.0)


def test_a_steady_shop_goes_on_as_before() -> None:
    made = forecast(STEADY, MONTHS, 990, MONTH)
    assert made is not None
    assert made.total == pytest.approx(100)
    assert made.sd < 0.1
    assert made.sd < uncertainty(STEADY, dict([*MONTHS.items()][:3]), 990, MONTH) < level.PRIOR_SD


def test_without_a_window_before_there_is_no_forecast() -> None:
    assert forecast(OutcomeTotals({}, {}), MONTHS, 990, MONTH) is None
    assert forecast(OutcomeTotals({990: 0.0}, {}), MONTHS, 990, MONTH) is None


def test_last_years_season_is_followed_but_not_in_full() -> None:
    shop = dict(STEADY.shop) | {990 - level.YEAR_DAYS: 300.0}
    made = forecast(OutcomeTotals(STEADY.before, shop), MONTHS, 990, MONTH)
    assert made is not None
    assert 200 < made.total < 300


def test_a_season_of_another_size_counts_less() -> None:
    then = 990 - level.YEAR_DAYS
    shop = dict(STEADY.shop) | {then - MONTH: 800.0, then: 400.0}  # it shrank when it was larger
    made = forecast(OutcomeTotals(STEADY.before, shop), MONTHS, 990, MONTH)
    assert made is not None
    assert 95 < made.total < 100


def test_newcomers_share_is_that_of_the_latest_windows() -> None:
    outcomes = {day: 50.0 if day > 700 else 90.0 for day in MONTHS}
    made = forecast(STEADY, outcomes, 990, MONTH)
    assert made is not None
    assert 50 < made.total < 65


def test_probabilities_count_the_last_known_rate_more_at_long_horizons() -> None:
    customers = dict.fromkeys([*MONTHS, 990], 1000)
    outcomes = MONTHS | {960 - MONTH: 200.0}  # the latest month whose outcome is known
    short = forecast(replace(STEADY, customers=customers), outcomes, 990, MONTH)
    assert short is not None
    assert short.weight == pytest.approx(30 / 210)
    assert short.total == pytest.approx(100 * np.exp(short.newcomers + short.weight * short.second_way))
    assert 100 < short.total < 200


def test_money_of_customers_of_known_age_is_forecast_by_age() -> None:
    day, days = 500, 270
    cohorts = shop()
    before = truth(day - days, days)  # of the customers of then, as if all were early ones
    totals = OutcomeTotals({day: before}, {}, cohorts=cohorts)
    made = forecast(totals, {}, day, days)
    assert made is not None
    assert made.weight > 0.9
    assert made.total == pytest.approx(truth(day, days), rel=0.15)
    early = replace(cohorts, cohort=np.minimum(cohorts.cohort, 90))  # nobody's age is known
    blind = forecast(OutcomeTotals({day: before}, {}, cohorts=early), {}, day, days)
    assert blind is not None
    assert blind.total == pytest.approx(before)


def test_a_forecast_ignores_what_was_not_known_yet() -> None:
    later = {day: total * (5 if day > 500 else 1) for day, total in MONTHS.items()}
    shop = {day: 500.0 if day + MONTH > 510 else 100.0 for day in STEADY.shop}
    assert forecast(OutcomeTotals(STEADY.before, shop), later, 510, MONTH) == forecast(
        STEADY, MONTHS, 510, MONTH
    )


def test_doubt_grows_with_past_errors() -> None:
    rng = np.random.default_rng(1)
    totals = {day: float(100 * rng.lognormal(0, 0.8)) for day in STEADY.before}
    wild = uncertainty(OutcomeTotals(totals, {}), MONTHS, 990, MONTH)
    assert wild > level.PRIOR_SD > uncertainty(STEADY, MONTHS, 990, MONTH)


def test_windows_that_overlap_are_less_evidence() -> None:
    long = OutcomeTotals(STEADY.before, STEADY.shop)
    doubts = [uncertainty(long, MONTHS, 990, days) for days in (30, 90, 270)]
    assert all(a < b for a, b in pairwise(doubts))


@given(
    st.lists(st.floats(-30, 30), min_size=1, max_size=50),
    st.floats(0.01, 0.99),
    st.sampled_from(["probability", "money"]),
)
def test_the_constant_gives_the_total(line: list[float], share: float, kind: str) -> None:
    rows, total = np.array(line), share * len(line)
    lines = rows + intercept_for(kind, rows, total)
    predicted = np.exp(lines) if kind == "money" else sigmoid(lines)
    assert predicted.sum() == pytest.approx(total, rel=1e-6)


def test_a_total_beyond_the_possible_is_limited() -> None:
    rows = np.zeros(10)
    assert sigmoid(rows + intercept_for("probability", rows, 20)).mean() == pytest.approx(0.999)
    assert sigmoid(rows + intercept_for("probability", rows, 0)).mean() == pytest.approx(0.001)
