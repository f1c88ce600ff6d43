"""Prediction intervals of an outcome given its score: split conformal prediction per range of scores.

The intervals are quantiles of the ratio of outcome to score, of held-out customers and moments, in each range
of scores (Vovk, 2012, Conditional validity of inductive conformal predictors; the ranges are its
categories). So they are valid among the best customers as well as among all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from models.estimator import Array
from models.estimators.line import rounded
from models.measures import metrics

LEVEL = 0.9
RANGES = 10
FEWEST_IN_A_RANGE = 50


@dataclass(frozen=True)
class Intervals:
    """Lower and upper bounds of the outcome by score.

    Attributes:
        level: the share of outcomes that should lie within.
        edges: the boundaries between the ranges of scores, ascending, in the score's unit.
        low, high: per range, as multiples of the score.
        spread: per range the standard deviation of the outcome at a given level, as a multiple of the score;
            empty in versions of earlier releases.
    """

    level: float
    edges: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    spread: tuple[float, ...] = ()

    def of(self, score: Array) -> tuple[Array, Array]:
        """The lower and upper bound for each score, in its unit."""
        edges, low, high = self._arrays
        here = edges.searchsorted(score, side="right")
        return low[here] * score, high[here] * score

    def of_one(self, score: float) -> tuple[float, float]:
        """The same bounds of a single score."""
        here = bisect_right(self.edges, score)
        return self.low[here] * score, self.high[here] * score

    def deviation(self, score: Array) -> Array | None:
        """The standard deviation of the outcome for each score, in its unit; None if it was not learnt."""
        if not self.spread:
            return None
        return np.array(self.spread)[self._arrays[0].searchsorted(score, side="right")] * score

    def with_spread(self, outcome: Array, score: Array) -> Intervals:
        """The intervals with the spread of these outcomes.

        It is weighted by the square of the score: what counts is the variance of the total of a range.
        """
        here = self._arrays[0].searchsorted(score, side="right")
        squares, weights = (
            np.bincount(here, values**2, minlength=len(self.low)) for values in (outcome - score, score)
        )
        spread = np.sqrt(squares / np.where(weights > 0, weights, 1.0))
        return replace(self, spread=tuple(map(rounded, spread.tolist())))

    @cached_property
    def _arrays(self) -> tuple[Array, Array, Array]:
        return np.array(self.edges), np.array(self.low), np.array(self.high)

    def as_dict(self) -> dict[str, Any]:
        """The intervals as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Intervals:
        """The intervals from the result of :meth:`as_dict`."""
        edges, low, high = (tuple(fields[name]) for name in ("edges", "low", "high"))
        return cls(fields["level"], edges, low, high, tuple(fields.get("spread", ())))


def fit_intervals(outcome: Array, score: Array, level: float = LEVEL) -> Intervals:
    """Fit intervals to the scores of outcomes that were not used in training.

    Half of the outcomes outside lie below and half above; if so many outcomes are 0 that none can lie below,
    all of them lie above. Every interval contains its score.

    Args:
        score: above 0.
    """
    ranges = max(1, min(RANGES, len(score) // FEWEST_IN_A_RANGE))
    edges = np.unique(np.quantile(score, np.linspace(0, 1, ranges + 1)[1:-1]))
    here = edges.searchsorted(score, side="right")
    bounds = [_range(outcome[here == i] / score[here == i], level) for i in range(len(edges) + 1)]
    low, high = zip(*bounds, strict=True)
    fitted = Intervals(level, tuple(rounded(edge) for edge in edges), low, high)
    return fitted.with_spread(outcome, score)


def doubt(sd: float) -> Array:
    """Three equally likely levels, as factors, whose logarithms have a standard deviation."""
    levels: Array = np.exp(sd * np.sqrt(1.5) * np.array([-1.0, 0.0, 1.0]))
    return levels


def coverages(outcome: Array, score: Array, low: Array, high: Array) -> dict[str, float]:
    """The share of outcomes within their intervals: of all, and of the tenth with the highest scores."""
    top = score >= np.quantile(score, 0.9)
    return {
        "interval_coverage": metrics.coverage(outcome, low, high),
        "interval_coverage_top_decile": metrics.coverage(outcome[top], low[top], high[top]),
    }


def _range(ratio: Array, level: float) -> tuple[float, float]:
    outside, count = 1 - level, len(ratio)
    if not count:
        return 0.0, 1.0
    low = _quantile(ratio, outside / 2, count)
    # The conformal quantile among n ratios is the one of rank (n + 1) × level.
    high = _quantile(ratio, (1 - outside / 2 if low > 0 else level) * (count + 1) / count, count)
    return rounded(min(low, 1.0)), rounded(max(high, 1.0))


def _quantile(ratio: Array, share: float, count: int) -> float:
    """The smallest ratio that at least ``share`` of the ratios do not exceed."""
    rank = min(max(int(np.ceil(share * count)) - 1, 0), count - 1)
    return float(np.sort(ratio)[rank])
