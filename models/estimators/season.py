"""The level of money: totals that come true, with the same days of the year before where they help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.revenue import Revenue
from models.spec import Array, FitContext

YEAR_DAYS = 364  # whole weeks
LONGEST_DAYS = 183  # what looks further ahead sees most seasons
EXPONENTS = (0.0, 0.5, 1.0)  # how much of the year before is believed
UNJUDGED = 0.5  # where no split can say: halfway, since a season and a growing shop look alike in one year


@dataclass(frozen=True)
class Level:
    """Factors of money, by what was learnt from.

    Attributes:
        usual: actual over predicted total, of all days.
        year_before: the shop's revenue in the same days of the year before over that of the days that were
            learnt from; None where that year is not known.
    """

    usual: float
    year_before: float | None

    def factor(self, exponent: float) -> float:
        """The factor, if so much of the year before is believed."""
        return self.usual if self.year_before is None else self.usual * float(self.year_before**exponent)


def year_before(context: FitContext, days: NDArray[np.int64], day: int | None) -> float | None:
    """How the season that begins on a day went in the year before, over how the days learnt from went.

    Args:
        days: on which each row that is learnt from was asked.
    """
    if context.revenue is None or day is None or context.horizon_days > LONGEST_DAYS:
        return None
    then = context.revenue.within(day - YEAR_DAYS, context.horizon_days)
    learnt = [_within(context.revenue, int(d), context.horizon_days) for d in np.unique(days)]
    usual = float(np.mean(learnt))
    return then / usual if then is not None and min(then, usual) > 0 else None


def believed(levels: Sequence[Level], actual: Sequence[float], predicted: Sequence[float]) -> float:
    """The exponent by which the totals of splits come truest, of those that have a year before.

    Args:
        actual, predicted: totals of what each split held out, the latter before any factor.
    """
    seen = [(o, a, p) for o, a, p in zip(levels, actual, predicted, strict=True) if o.year_before is not None]
    if not seen:
        return UNJUDGED

    def error(exponent: float) -> float:
        return float(np.mean([abs(np.log(o.factor(exponent) * p / a)) for o, a, p in seen]))

    return min(EXPONENTS, key=error)


def mean_ratio(outcome: Sequence[Array], predicted: Sequence[Array]) -> float:
    """Actual over predicted total, the geometric mean over splits."""
    ratios = [o.sum() / p.sum() for o, p in zip(outcome, predicted, strict=True)]
    return float(np.exp(np.mean(np.log(ratios))))


def _within(revenue: Revenue, day: int, days: int) -> float:
    return revenue.within(day, days) or 0.0
