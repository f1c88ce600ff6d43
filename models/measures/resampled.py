"""Measures of resamples: rows are weighted by how often they were drawn, so scores are sorted only once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
OfDraw = Callable[[NDArray[np.int64]], float]
"""Called with how often each row was drawn; returns the measure."""


def auc(outcome: Array, score: Array) -> OfDraw:
    """As :func:`models.measures.metrics.auc`."""
    if not np.isfinite(score).all():
        raise ValueError("scores must be numbers")
    _, place = np.unique(score, return_inverse=True)
    having = outcome > 0

    def measure(times: NDArray[np.int64]) -> float:
        with_it = np.bincount(place, np.where(having, times, 0))
        without = np.bincount(place, np.where(having, 0, times))
        pairs = with_it.sum() * without.sum()
        below = np.cumsum(without) - without / 2  # equal scores count half
        return float((with_it * below).sum() / pairs) if pairs else float("nan")

    return measure


def normalised_gini(outcome: Array, score: Array) -> OfDraw:
    """As :func:`models.measures.metrics.normalised_gini`."""
    ours, perfect = _gini(outcome, score), _gini(outcome, outcome)

    def measure(times: NDArray[np.int64]) -> float:
        best = perfect(times)
        return ours(times) / best if best else 0.0

    return measure


def _gini(outcome: Array, score: Array) -> OfDraw:
    _, place = np.unique(-score, return_inverse=True)

    def measure(times: NDArray[np.int64]) -> float:
        customers, money = np.bincount(place, times), np.bincount(place, times * outcome)
        if not len(customers) or not money.sum():
            return 0.0
        x, y = (np.concatenate([[0.0], np.cumsum(part) / part.sum()]) for part in (customers, money))
        return float(2 * np.trapezoid(y, x) - 1)

    return measure
