"""The level of a fit: the total of the next window's outcomes, learnt apart from the ranking.

A fit's own level is that of its training months, in which the history was shorter and most customers were
new. The level of the present is forecast in two ways, of which a weighted geometric mean is taken.

The first is the total of the same customers in the window that ends now, with two corrections:

- season: the shop's ratio of one window to the next, a year before. It counts less the more the shop's size
  has changed since then, because its customers were others then.
- newcomers: the share of a window's outcomes that comes from customers who were not known at its start,
  as observed in past windows, of which recent ones count more.

Both are shrunk towards no correction. The first way is right where most customers have been there for longer
than the horizon, and wrong where they have not. There the second way counts more:

- money: the age-period model (:mod:`models.estimators.age_period`);
- probabilities: the rate of the latest months whose outcome is known.

:func:`uncertainty` measures the errors of the forecast at past moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.estimator import Array
from models.estimators import age_period
from models.measures.metrics import sigmoid
from models.outcome_totals import Cohorts, OutcomeTotals

YEAR_DAYS = 364  # whole weeks
SEASON_SHRINKAGE, NEWCOMERS_SHRINKAGE = 0.9, 0.8  # 1 applies the whole correction
SIZE_SCALE = 0.7  # log ratio of the shop's size to that of a year before at which a season counts 0.6
NEWCOMERS_HALF_LIFE_DAYS = 60.0
# Of the log error: its value without evidence, and how many windows it counts.
PRIOR_SD, PRIOR_WINDOWS = 0.3, 1.0
MONTH_DAYS = 30.4
EARLY_POWER = (
    1.5  # of the share of revenue from customers of unknown age, in the weight of the age-period model
)
HORIZONS_TO_TRUST = 3.0  # a history longer than these makes the age-period model count less
RATE_SCALE_DAYS = 180.0  # the horizon at which the last known rate counts half


@dataclass(frozen=True)
class Level:
    """A forecast of the total of the outcomes of a moment's customers.

    Attributes:
        total: in the label's unit; above 0.
        season, newcomers: the corrections of the previous window's total, as logarithms.
        second_way: the logarithm of the second forecast over the first. weight: of the second forecast.
        sd: the standard deviation of the logarithm of actual over forecast total.
    """

    total: float
    season: float
    newcomers: float
    second_way: float
    weight: float
    sd: float


def forecast(
    totals: OutcomeTotals, outcomes: Mapping[int, float], day: int, horizon_days: int
) -> Level | None:
    """The forecast for the window that begins on a day, from what was known then.

    Args:
        outcomes: the total outcome of the customers of each training moment, by its day.

    Returns:
        None if the window before the day is not known, or had no outcome.
    """
    made = _forecast(totals, outcomes, day, horizon_days)
    if made is None:
        return None
    total = totals.before[day] * float(np.exp(made.logarithm))
    sd = uncertainty(totals, outcomes, day, horizon_days)
    return Level(total, made.season, made.newcomers, made.second_way, made.weight, sd)


def uncertainty(totals: OutcomeTotals, outcomes: Mapping[int, float], day: int, horizon_days: int) -> float:
    """The standard deviation of the log error of forecasts, from those at past moments and the prior.

    Windows that overlap count as one.
    """
    squares = []
    for moment, actual in outcomes.items():
        made = _forecast(totals, outcomes, moment, horizon_days)
        if made is not None and actual > 0 and moment + horizon_days <= day:
            squares.append((np.log(actual / totals.before[moment]) - made.logarithm) ** 2)
    weight = min(1.0, MONTH_DAYS / horizon_days)
    known = weight * sum(squares) + PRIOR_WINDOWS * PRIOR_SD**2
    return float(np.sqrt(known / (weight * len(squares) + PRIOR_WINDOWS)))


def intercept_for(kind: str, line: Array, total: float) -> float:
    """The constant to add to each row's log-odds, or logarithm of money, so that they predict a total.

    Args:
        line: the rows' log-odds or logarithms of money, at least one.
        total: of probabilities it is limited to 0.1 to 99.9 % of the rows.
    """
    if kind == "money":
        return float(np.log(total) - np.log(np.exp(line - line.max()).sum()) - line.max())
    share = min(max(total / len(line), 0.001), 0.999)
    low, high = -50.0 - float(line.max()), 50.0 - float(line.min())
    for _ in range(60):  # halves the interval: the mean probability grows with the constant
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(line + middle).mean() < share else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class _Forecast:
    season: float
    newcomers: float
    second_way: float = 0.0
    weight: float = 0.0

    @property
    def logarithm(self) -> float:
        """Of the forecast over the total of the window before."""
        return self.season + self.newcomers + self.weight * self.second_way


def _forecast(
    totals: OutcomeTotals, outcomes: Mapping[int, float], day: int, horizon_days: int
) -> _Forecast | None:
    if totals.before.get(day, 0.0) <= 0:
        return None
    first = _Forecast(_season(totals, day, horizon_days), _newcomers(totals, outcomes, day, horizon_days))
    if totals.cohorts is not None:
        second, weight = _by_age(totals.cohorts, day, horizon_days)
    else:
        second, weight = _last_rate(totals, outcomes, day, horizon_days)
    if second <= 0:
        return first
    ratio = np.log(second / totals.before[day])
    return replace(first, second_way=float(ratio - first.logarithm), weight=weight)


def _by_age(cohorts: Cohorts, day: int, horizon_days: int) -> tuple[float, float]:
    """The total by the age-period model, and its weight: the higher, the more revenue is of known age."""
    fitted = age_period.fit(cohorts, day)
    if fitted is None:
        return 0.0, 0.0
    recent = (cohorts.day >= day - horizon_days) & (cohorts.day < day) & (cohorts.amount > 0)
    amount = cohorts.amount[recent]
    is_early = cohorts.cohort[recent] < cohorts.history_start + age_period.CUT_OFF_DAYS
    early = float(amount[is_early].sum() / amount.sum()) if len(amount) else 1.0
    age = min(1.0, HORIZONS_TO_TRUST * horizon_days / (day - cohorts.history_start))
    return fitted.total(horizon_days), (1 - early**EARLY_POWER) * age


def _last_rate(
    totals: OutcomeTotals, outcomes: Mapping[int, float], day: int, horizon_days: int
) -> tuple[float, float]:
    """The total at the rate of the latest moment with a known outcome, and its weight."""
    known = [moment for moment in outcomes if moment + horizon_days <= day and totals.customers.get(moment)]
    if not known or day not in totals.customers:
        return 0.0, 0.0
    latest = max(known)
    rate = outcomes[latest] / totals.customers[latest]
    return rate * totals.customers[day], horizon_days / (horizon_days + RATE_SCALE_DAYS)


def _season(totals: OutcomeTotals, day: int, horizon_days: int) -> float:
    then = day - YEAR_DAYS
    if then + horizon_days > day:
        return 0.0
    following, previous, now = (
        totals.shop.get(first, 0.0) for first in (then, then - horizon_days, day - horizon_days)
    )
    if min(following, previous, now) <= 0:
        return 0.0
    weight = np.exp(-((np.log(now / previous) / SIZE_SCALE) ** 2) / 2)
    return float(SEASON_SHRINKAGE * weight * np.log(following / previous))


def _newcomers(totals: OutcomeTotals, outcomes: Mapping[int, float], day: int, horizon_days: int) -> float:
    known = {
        moment: np.log(total / totals.shop[moment])
        for moment, total in outcomes.items()
        if moment + horizon_days <= day and total > 0 and totals.shop.get(moment, 0.0) > 0
    }
    if not known:
        return 0.0
    age = np.array([day - moment for moment in known])
    weights = 0.5 ** ((age - age.min()) / NEWCOMERS_HALF_LIFE_DAYS)
    return float(NEWCOMERS_SHRINKAGE * np.average(list(known.values()), weights=weights))
