"""Revenue by customers' age and calendar period: a forecast for shops whose customers have arrived lately.

Time is divided into periods of a twelfth of a year, counted back from the day of the forecast. The expected
revenue in period j of the customers who arrived in period c is ::

    customers(c) × rate(age of c in j) × activity(j)

fitted as a Poisson regression with a logarithmic link (the chain-ladder model of Renshaw and Verrall 1998,
"A stochastic model underlying the chain-ladder technique", British Actuarial Journal 4, with calendar effects
in place of the development of whole cohorts). Gaussian priors keep the rates of neighbouring ages and the
activity of all periods close to each other, since a young shop has few payments of each.

Customers of the first months of a history have an unknown age, because their first orders are cut off. They
form a cohort of their own with a constant rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array
from models.outcome_totals import Cohorts

PERIODS_A_YEAR = 12
PERIOD_DAYS = 364 / PERIODS_A_YEAR
MAX_PERIODS = 48
AGES = np.array([1, 2, 3, 4, 6, 9, 12, 18, 24])  # the first age of each group, in periods
CUT_OFF_DAYS = 91  # customers who first ordered in these days of a history are early ones
RATE_STEP, RATE_STEP_SD = -0.05, 0.1  # of the log rate from one group of ages to the next
EARLY_AGE = 9  # early customers' rate is near that of the age group that begins here
EARLY_SD = 0.5  # of the log rate of early customers, about that rate
ACTIVITY_SD = 0.35  # of the log activity of a period
SEASON_SHRINKAGE, SIZE_SCALE = 0.9, 1.0  # see models.estimators.level
OVERDISPERSION = 3.0  # customers differ, and their payments come in clusters
MIN_LEVEL_PERIODS = 2
MAX_STEPS, TOLERANCE = 25, 1e-6

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class AgePeriod:
    """A fitted model.

    Attributes:
        customers: by period of arrival, the latest first, without early customers.
        early: the number of early customers.
        rates: currency per customer and period, by group of ages. early_rate: of early customers.
        activity: by period, the latest first. expected: the fitted revenue of each period, in currency.
    """

    customers: Array
    early: int
    rates: Array
    early_rate: float
    activity: Array
    expected: Array

    def total(self, horizon_days: int) -> float:
        """The expected revenue of today's customers within the horizon, in currency."""
        length = horizon_days / PERIOD_DAYS
        share = np.ones(int(np.ceil(length - 1e-9)))
        share[-1] = length - (len(share) - 1)
        activity = share * np.exp(self._log_activity(len(share), max(MIN_LEVEL_PERIODS, round(length))))
        ahead = 1 + np.arange(len(share))
        ages = np.arange(len(self.customers))[:, None] + ahead[None, :]
        of_known_age = (self.customers[:, None] * self.rates[_group(ages)]).sum(axis=0)
        return float(((of_known_age + self.early * self.early_rate) * activity).sum())

    def _log_activity(self, periods: int, level_periods: int) -> Array:
        """Of the next periods: that of the latest ones, moved as a year before."""
        log, weight = np.log(self.activity), self.expected
        latest = slice(0, level_periods)
        level = _log_mean(self.activity[latest], weight[latest])
        season = np.zeros(periods)
        then = slice(PERIODS_A_YEAR, min(PERIODS_A_YEAR + level_periods, len(log) - 1))
        if then.start < then.stop:
            reference = _log_mean(self.activity[then], weight[then])
            grown = np.log(weight[latest].mean() / weight[then].mean())
            strength = SEASON_SHRINKAGE * np.exp(-((grown / SIZE_SCALE) ** 2) / 2)
            following = min(periods, PERIODS_A_YEAR)
            a_year_before = log[PERIODS_A_YEAR - following : PERIODS_A_YEAR][::-1]
            season[:following] = strength * (a_year_before - reference)
        return np.asarray(level + season)


def fit(cohorts: Cohorts, day: int) -> AgePeriod | None:
    """Fit to what was known before a day; None if no customer of known age has paid a second time.

    Args:
        day: days since 1970-01-01.
    """
    known = cohorts.before(day)
    periods = min(int((day - known.history_start) // PERIOD_DAYS), MAX_PERIODS)
    revenue = float(known.amount[known.amount > 0].sum())
    if periods * PERIOD_DAYS <= CUT_OFF_DAYS or revenue <= 0:
        return None
    oldest = day - periods * PERIOD_DAYS
    start = max(float(known.history_start + CUT_OFF_DAYS), oldest)  # earlier customers are early ones
    scale = OVERDISPERSION * float(known.squares.sum()) / revenue
    is_early = known.arrival < start
    arrived = _period(known.arrival[~is_early], day, periods)
    customers: Array = np.bincount(arrived, known.customers[~is_early], periods).astype(np.float64)
    early = int(known.customers[is_early].sum())
    inside = known.day >= oldest
    row = np.where(known.cohort < start, periods, _period(known.cohort, day, periods))[inside]
    paid = np.zeros((periods + 1, periods))
    np.add.at(paid, (row, _period(known.day, day, periods)[inside]), known.amount[inside])
    first_early = periods - int(np.ceil((start - oldest) / PERIOD_DAYS - 1e-9))
    cells = _cells(periods, np.append(customers, early), first_early)
    if not (cells.row < periods).any():
        return None
    counts = np.maximum(paid[cells.row, cells.period], 0.0) / scale
    rates, activity = _maximum(cells, counts, periods)
    fitted = cells.customers * scale * np.exp(rates[cells.group] + activity[cells.period])
    expected = (np.bincount(cells.period, fitted, periods) + 1e-9).astype(np.float64)
    by_group, by_period = np.exp(rates) * scale, np.asarray(np.exp(activity))
    return AgePeriod(customers, early, by_group[:-1], float(by_group[-1]), by_period, expected)


@dataclass(frozen=True)
class _Cells:
    """The cells of known exposure: row of cohorts, period, group of ages (the last: early), customers."""

    row: Ints
    period: Ints
    group: Ints
    customers: Array


def _cells(periods: int, customers: Array, first_early: int) -> _Cells:
    """The periods after the arrival of each cohort, and of early customers those after the cut-off."""
    row, period = np.meshgrid(np.arange(periods + 1), np.arange(periods), indexing="ij")
    is_early = row == periods
    group = np.where(is_early, len(AGES), _group(np.maximum(row - period, 1)))
    inside = np.where(is_early, period < first_early, row > period) & (customers[row] > 0)
    return _Cells(row[inside], period[inside], group[inside], customers[row[inside]].astype(float))


def _maximum(cells: _Cells, counts: Array, periods: int) -> tuple[Array, Array]:
    """The log rates by group and the log activity by period with the highest posterior density (Newton)."""
    groups = len(AGES) + 1
    precision, pull = _prior(groups, periods)
    design = np.zeros((len(counts), groups + periods))
    rows = np.arange(len(counts))
    design[rows, cells.group] = design[rows, groups + cells.period] = 1.0
    estimate = np.zeros(groups + periods)
    estimate[:groups] = np.log(max(counts.sum(), 0.5) / cells.customers.sum())
    for _ in range(MAX_STEPS):
        mean = cells.customers * np.exp(np.clip(design @ estimate, -30, 30))
        curvature = precision + (design * mean[:, None]).T @ design
        gradient = design.T @ (counts - mean) - (precision @ estimate - pull)
        step = np.clip(np.linalg.solve(curvature, gradient), -1, 1)
        estimate += step
        if np.abs(step).max() < TOLERANCE:
            break
    return estimate[:groups], estimate[groups:]


def _prior(groups: int, periods: int) -> tuple[Array, Array]:
    """The precision matrix of the coefficients, and its product with their mean."""
    size = groups + periods
    precision, pull = np.diag(np.full(size, 1e-8)), np.zeros(size)
    steps = [(group + 1, group, RATE_STEP, RATE_STEP_SD) for group in range(groups - 2)]
    early = (groups - 1, int(np.searchsorted(AGES, EARLY_AGE)), 0.0, EARLY_SD)
    for upper, lower, mean, sd in [*steps, early]:
        contrast = np.zeros(size)
        contrast[upper], contrast[lower] = 1.0, -1.0
        precision += np.outer(contrast, contrast) / sd**2
        pull += contrast * mean / sd**2
    precision[range(groups, size), range(groups, size)] += 1 / ACTIVITY_SD**2
    return precision, pull


def _period(days: Ints, day: int, periods: int) -> Ints:
    """How many periods before a day; the latest is 0."""
    return np.clip(((day - 1 - days) // PERIOD_DAYS).astype(np.int64), 0, periods - 1)


def _group(ages: Ints) -> Ints:
    return np.searchsorted(AGES, ages, side="right") - 1


def _log_mean(values: Array, weights: Array) -> float:
    return float(np.log(np.average(values, weights=weights)))
