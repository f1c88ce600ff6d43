"""The level of a fit: the total of the next window's outcomes, learnt apart from the ranking.

A fit's own level is that of its training months, in which the history was shorter and most customers were
new. The level of the present is that of the same customers in the window that ends now (the naive forecast),
with two corrections:

- season: the shop's ratio of one window to the next, a year before. It counts less the more the shop's size
  has changed since then, because its customers were others then.
- newcomers: the share of a window's outcomes that comes from customers who were not known at its start,
  as observed in past windows, of which recent ones count more.

Both are shrunk towards no correction. :func:`uncertainty` measures the errors of this forecast at past
moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.measures.metrics import sigmoid
from models.outcome_totals import OutcomeTotals
from models.spec import Array

YEAR_DAYS = 364  # whole weeks
SEASON_SHRINKAGE, NEWCOMERS_SHRINKAGE = 0.9, 0.8  # 1 applies the whole correction
SIZE_SCALE = 0.7  # log ratio of the shop's size to that of a year before at which a season counts 0.6
NEWCOMERS_HALF_LIFE_DAYS = 60.0
PRIOR_SD, PRIOR_WINDOWS = (
    0.3,
    1.0,
)  # of the log error: its value without evidence, and how many windows it counts
MONTH_DAYS = 30.4


@dataclass(frozen=True)
class Level:
    """A forecast of the total of the outcomes of a moment's customers.

    Attributes:
        total: in the label's unit; above 0.
        season, newcomers: the corrections of the previous window's total, as logarithms.
        sd: the standard deviation of the logarithm of actual over forecast total.
    """

    total: float
    season: float
    newcomers: float
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
    season, newcomers = made
    total = totals.before[day] * float(np.exp(season + newcomers))
    return Level(total, season, newcomers, uncertainty(totals, outcomes, day, horizon_days))


def uncertainty(totals: OutcomeTotals, outcomes: Mapping[int, float], day: int, horizon_days: int) -> float:
    """The standard deviation of the log error of forecasts, from those at past moments and the prior.

    Windows that overlap count as one.
    """
    squares = []
    for moment, actual in outcomes.items():
        made = _forecast(totals, outcomes, moment, horizon_days)
        if made is not None and actual > 0 and moment + horizon_days <= day:
            squares.append((np.log(actual / totals.before[moment]) - sum(made)) ** 2)
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


def _forecast(
    totals: OutcomeTotals, outcomes: Mapping[int, float], day: int, horizon_days: int
) -> tuple[float, float] | None:
    """The two corrections, as logarithms."""
    if totals.before.get(day, 0.0) <= 0:
        return None
    return _season(totals, day, horizon_days), _newcomers(totals, outcomes, day, horizon_days)


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
