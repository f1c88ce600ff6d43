"""The level of predicted money: totals are matched to held-out totals, and adjusted by last year's season."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.revenue import Revenue
from models.spec import Array, FitContext

YEAR_DAYS = 364  # whole weeks
LONGEST_DAYS = 183  # a longer horizon covers most seasons
EXPONENTS = (0.0, 0.5, 1.0)  # the weight given to the previous year
UNJUDGED = 0.5  # if no split can tell: halfway, since in one year a season and growth look alike


@dataclass(frozen=True)
class Level:
    """Factors of predicted money.

    Attributes:
        usual: actual over predicted total, over all days.
        year_before: the shop's revenue in the same days of the previous year, divided by that of the days in
            training; None if the previous year is not known.
    """

    usual: float
    year_before: float | None

    def factor(self, exponent: float) -> float:
        """The factor, if the previous year has this exponent."""
        return self.usual if self.year_before is None else self.usual * float(self.year_before**exponent)


def year_before(context: FitContext, days: NDArray[np.int64], day: int | None) -> float | None:
    """The ratio of last year's revenue in the season that begins on a day to that of the training days.

    Args:
        days: the day of each training row.
    """
    if context.revenue is None or day is None or context.horizon_days > LONGEST_DAYS:
        return None
    then = context.revenue.within(day - YEAR_DAYS, context.horizon_days)
    learnt = [_within(context.revenue, int(d), context.horizon_days) for d in np.unique(days)]
    usual = float(np.mean(learnt))
    return then / usual if then is not None and min(then, usual) > 0 else None


def believed(levels: Sequence[Level], actual: Sequence[float], predicted: Sequence[float]) -> float:
    """The exponent with the smallest error of the splits' totals, of those splits that have a previous year.

    Args:
        actual, predicted: the totals of each split's held-out rows, predicted before any factor.
    """
    seen = [(o, a, p) for o, a, p in zip(levels, actual, predicted, strict=True) if o.year_before is not None]
    if not seen:
        return UNJUDGED

    def error(exponent: float) -> float:
        return float(np.mean([abs(np.log(o.factor(exponent) * p / a)) for o, a, p in seen]))

    return min(EXPONENTS, key=error)


def mean_ratio(outcome: Sequence[Array], predicted: Sequence[Array]) -> float:
    """Actual over predicted total, as the geometric mean over splits."""
    ratios = [o.sum() / p.sum() for o, p in zip(outcome, predicted, strict=True)]
    return float(np.exp(np.mean(np.log(ratios))))


def _within(revenue: Revenue, day: int, days: int) -> float:
    return revenue.within(day, days) or 0.0
