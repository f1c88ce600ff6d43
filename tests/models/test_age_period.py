"""The age-period model of revenue, against shops whose rates by age and season are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.estimators import age_period
from models.estimators.age_period import PERIOD_DAYS, fit
from models.outcome_totals import Cohorts

DAYS = 800
RATE_BY_DAY = 0.2 + 0.4 * np.exp(-np.arange(1, DAYS + 400) / 90.0)  # currency per customer, by day of age


def shop(arrivals: int = 5, season: float = 0.0, days: int = DAYS) -> Cohorts:
    """Customers who arrive every day and pay exactly what is expected of them."""
    cohort, day = np.meshgrid(np.arange(days), np.arange(days), indexing="ij")
    later = day > cohort
    cohort, day = cohort[later], day[later]
    amount = arrivals * RATE_BY_DAY[day - cohort] * activity(day, season)
    return Cohorts(0, np.arange(days), np.full(days, arrivals), cohort, day, amount, np.abs(amount) * 5.0)


def activity(day: np.ndarray, season: float) -> np.ndarray:
    return np.exp(season * np.sin(2 * np.pi * day / 364))


def truth(day: int, horizon: int, season: float = 0.0, arrivals: int = 5) -> float:
    days, cohort = np.meshgrid(np.arange(day, day + horizon), np.arange(day))
    return float((arrivals * RATE_BY_DAY[days - cohort] * activity(days, season)).sum())


@pytest.mark.parametrize("day", [400, 500, 700])
@pytest.mark.parametrize("horizon", [30, 90, 270])
def test_a_growing_base_is_forecast_from_its_first_year_on(day: int, horizon: int) -> None:
    fitted = fit(shop(), day)
    assert fitted is not None
    assert fitted.total(horizon) == pytest.approx(truth(day, horizon), rel=0.15)


@pytest.mark.parametrize("horizon", [90, 270])
def test_the_season_of_a_year_before_is_followed(horizon: int) -> None:
    fitted = fit(shop(season=0.5), 600)
    assert fitted is not None
    assert fitted.total(horizon) == pytest.approx(truth(600, horizon, season=0.5), rel=0.2)
    level = truth(600, horizon)
    assert abs(fitted.total(horizon) - truth(600, horizon, 0.5)) < abs(level - truth(600, horizon, 0.5))


@given(st.integers(150, 700), st.sampled_from([30, 90, 365]))
def test_a_forecast_ignores_later_payments(day: int, horizon: int) -> None:
    whole = shop()
    spoilt = replace(whole, amount=np.where(whole.day >= day, 1e6, whole.amount))
    ours, theirs = fit(whole, day), fit(spoilt, day)
    assert ours is not None
    assert theirs is not None
    assert ours.total(horizon) == theirs.total(horizon)


def test_totals_of_horizons_grow_and_scale_with_currency() -> None:
    one = fit(shop(), 500)
    yen = shop()
    hundred = fit(replace(yen, amount=100 * yen.amount, squares=1e4 * yen.squares), 500)
    assert one is not None
    assert hundred is not None
    totals = [one.total(days) for days in (7, 30, 91, 364, 400)]
    assert totals == sorted(totals)
    assert hundred.total(91) == pytest.approx(100 * one.total(91), rel=1e-6)


def test_a_history_that_is_too_short_has_no_model() -> None:
    assert fit(shop(), int(age_period.CUT_OFF_DAYS)) is None
    assert fit(shop(), int(PERIOD_DAYS)) is None
    assert fit(replace(shop(), amount=0 * shop().amount, squares=0 * shop().amount), 500) is None
    everyone_was_there = replace(shop(), arrival=np.array([0]), customers=np.array([5]))
    first = everyone_was_there.cohort == 0
    old = Cohorts(0, *(everyone_was_there.arrival, everyone_was_there.customers),
                  *(v[first] for v in (everyone_was_there.cohort, everyone_was_there.day,
                                       everyone_was_there.amount, everyone_was_there.squares)))  # fmt: skip
    assert fit(old, 500) is None


def test_a_refunded_period_is_not_negative() -> None:
    made = shop()
    fitted = fit(replace(made, amount=np.where(made.day > 480, -made.amount, made.amount)), 500)
    assert fitted is not None
    assert 0 < fitted.total(90) < truth(500, 90)
