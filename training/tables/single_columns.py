"""The ranking by a single column: the baseline to beat, and the detection of leaks.

A column that nearly determines the outcome was most likely recorded after it (Kaufman et al., 2012,
Leakage in Data Mining): a model that reads it is excellent in every test and useless for customers
whose outcome is still open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array
from models.registry.encoding import Column
from training.evaluation.evaluate import RANKING
from training.tables.holdouts import folds

NEARLY_DECIDES = 0.95  # AUC, or normalised Gini, of one column alone
BINS = 10
_HALVES = 2


@dataclass(frozen=True)
class OneColumn:
    """Ranks customers by the mean outcome of their bin, and within it by the value itself.

    Attributes:
        edges: the boundaries between the bins of a number, which are quantiles; None for a category.
        means: mean outcome by bin, that of missing values last.
        direction: 1 if the outcome rises with the value, else −1; 0 for a category.
    """

    edges: Array | None
    means: Array
    direction: float

    def score(self, values: Array) -> Array:
        """Scores from 0; only their order has a meaning."""
        order = np.column_stack(
            [
                self.mean_outcome(values),
                self.direction * np.nan_to_num(values),
            ]
        )
        _, ranks = np.unique(order, axis=0, return_inverse=True)
        return ranks.reshape(-1).astype(np.float64)

    def mean_outcome(self, values: Array) -> Array:
        """The mean outcome of each value's bin."""
        means: Array = self.means[_bins(self.edges, values, len(self.means))]
        return means


def fit(column: Column, values: Array, y: Array) -> OneColumn:
    """Fit the bins of one column; a bin without customers gets the overall mean."""
    edges, count, direction = None, len(column.vocabulary) + 1, 0.0
    if column.dtype != "string":
        known = np.isfinite(values)
        edges = (
            np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:-1]))
            if known.any()
            else (np.empty(0))
        )
        count = len(edges) + 2
        together = np.sum((values[known] - values[known].mean()) * y[known]) if known.any() else 0.0
        direction = 1.0 if together >= 0 else -1.0
    bins = _bins(edges, values, count)
    customers = np.bincount(bins, minlength=count)
    sums = np.bincount(bins, weights=y, minlength=count)
    means = np.where(customers > 0, sums / np.maximum(customers, 1), y.mean())
    return OneColumn(edges, means, direction)


def rank(kind: str, columns: Sequence[Column], x: Array, y: Array) -> dict[str, float]:
    """The ranking measure of each single column on customers outside of its fit, the best first."""
    _, measure = RANKING[kind]
    halves = folds(y, _HALVES)
    by_column = {
        column.name: float(
            np.mean(
                [measure(y[h.test], fit(column, x[h.fit, i], y[h.fit]).score(x[h.test, i])) for h in halves]
            )
        )
        for i, column in enumerate(columns)
    }
    return dict(sorted(by_column.items(), key=lambda item: -item[1]))


def _bins(edges: Array | None, values: Array, count: int) -> NDArray[np.int64]:
    missing = ~np.isfinite(values)
    filled = np.where(missing, 0.0, values)
    bins = filled.astype(np.int64) if edges is None else np.searchsorted(edges, filled, side="left")
    return np.where(missing, count - 1, bins).astype(np.int64)
