"""The level of money: totals that come true, with the same days of the year before where they help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.spec import Array

YEAR_DAYS = 365
NEAREST_DAYS = 16  # a monthly moment lies within it
EXPONENTS = (0.0, 0.5, 1.0)  # how much of the year before is believed; none, unless splits say otherwise


@dataclass(frozen=True)
class Level:
    """Factors of money, by what was learnt from.

    Attributes:
        usual: actual over predicted total, of all days.
        year_before: the same of the moment a year before, over ``usual``; None where there is none.
    """

    usual: float
    year_before: float | None

    def factor(self, exponent: float) -> float:
        """The factor, if so much of the year before is believed."""
        return self.usual if self.year_before is None else self.usual * float(self.year_before**exponent)


def level(y: Array, predicted: Array, days: NDArray[np.int64] | None, day: int | None) -> Level:
    """The level for answers on a day.

    Args:
        days: on which each row was asked; None for rows of no particular moment.
    """
    usual = float(y.sum() / predicted.sum())
    if days is None or day is None:
        return Level(usual, None)
    distance = np.abs(days - (day - YEAR_DAYS))
    here = distance == distance.min()
    if distance.min() > NEAREST_DAYS or not y[here].any():
        return Level(usual, None)
    return Level(usual, float(y[here].sum() / predicted[here].sum()) / usual)


def believed(levels: Sequence[Level], actual: Sequence[float], predicted: Sequence[float]) -> float:
    """The exponent by which the totals of splits come truest, of those that have a year before.

    Args:
        actual, predicted: totals of what each split held out, the latter before any factor.
    """
    seen = [(o, a, p) for o, a, p in zip(levels, actual, predicted, strict=True) if o.year_before is not None]
    if not seen:
        return EXPONENTS[0]

    def error(exponent: float) -> float:
        return float(np.mean([abs(np.log(o.factor(exponent) * p / a)) for o, a, p in seen]))

    return min(EXPONENTS, key=error)
