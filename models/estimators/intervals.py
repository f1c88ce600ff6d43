"""Where an outcome will lie, given its score: split conformal prediction, apart for each range of scores.

The ratios of outcome to score, of customers and moments that were not learnt from, are taken as they fell
in each range of scores (Vovk, 2012, Conditional validity of inductive conformal predictors; the ranges are
its categories), so that the intervals hold among the best customers as they do among all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models.estimators.line import rounded
from models.spec import Array

LEVEL = 0.9
RANGES = 10
FEWEST_IN_A_RANGE = 50


@dataclass(frozen=True)
class Intervals:
    """Lowest and highest outcome by score.

    Attributes:
        level: the share of outcomes that are to lie within.
        edges: the scores that part the ranges, rising, in the score's unit.
        low, high: per range, as multiples of the score.
    """

    level: float
    edges: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def of(self, score: Array) -> tuple[Array, Array]:
        """The lowest and the highest likely outcome of each score, in its unit."""
        edges, low, high = self._arrays
        here = edges.searchsorted(score, side="right")
        return low[here] * score, high[here] * score

    @cached_property
    def _arrays(self) -> tuple[Array, Array, Array]:
        return np.array(self.edges), np.array(self.low), np.array(self.high)

    def as_dict(self) -> dict[str, Any]:
        """It as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Intervals:
        """Of what :meth:`as_dict` gave."""
        return cls(fields["level"], tuple(fields["edges"]), tuple(fields["low"]), tuple(fields["high"]))


def fit_intervals(outcome: Array, score: Array, level: float = LEVEL) -> Intervals:
    """Learn from scores of outcomes that were not learnt from.

    Half of what may lie outside lies below and half above; where so many bring nothing that nobody can
    lie below, all of it lies above. No interval leaves out its own score.

    Args:
        score: above 0.
    """
    ranges = max(1, min(RANGES, len(score) // FEWEST_IN_A_RANGE))
    edges = np.unique(np.quantile(score, np.linspace(0, 1, ranges + 1)[1:-1]))
    here = edges.searchsorted(score, side="right")
    bounds = [_range(outcome[here == i] / score[here == i], level) for i in range(len(edges) + 1)]
    low, high = zip(*bounds, strict=True)
    return Intervals(level, tuple(rounded(edge) for edge in edges), low, high)


def _range(ratio: Array, level: float) -> tuple[float, float]:
    outside, count = 1 - level, len(ratio)
    if not count:
        return 0.0, 1.0
    low = _quantile(ratio, outside / 2, count)
    # Among n ratios the conformal quantile is the one of rank (n + 1) × level, which finite n calls for.
    high = _quantile(ratio, (1 - outside / 2 if low > 0 else level) * (count + 1) / count, count)
    return rounded(min(low, 1.0)), rounded(max(high, 1.0))


def _quantile(ratio: Array, share: float, count: int) -> float:
    """The value that ``share`` of the ratios do not exceed, one of theirs."""
    rank = min(max(int(np.ceil(share * count)) - 1, 0), count - 1)
    return float(np.sort(ratio)[rank])
