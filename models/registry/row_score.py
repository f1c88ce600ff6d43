"""The score of a single customer by a model, without arrays, which take most of the time for one row."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from models.estimator import Array
from models.registry.bundle import FittedModel


class RowScore(NamedTuple):
    """A score with its percentile, its interval and its two parts; None for a model without them."""

    score: float
    percentile: float
    low: float | None = None
    high: float | None = None
    probability_of_order: float | None = None
    amount_if_order: float | None = None


def score_row(model: FittedModel, row: Array) -> RowScore:
    """The numbers of :class:`FittedModel` for a matrix of this row, to the last bit.

    Args:
        row: an array of one dimension, by the model's ``columns``.
    """
    predicted = model.fitted.predict_row(row)
    score = 1 - predicted if model.manifest["complement"] else predicted
    percentile = bisect_right(model.manifest["score_percentiles"], score) / 1.01
    intervals = model.fitted.intervals
    bounds = None if intervals is None else intervals.of_one(score)
    if model.order is None:
        return RowScore(score, percentile, *(bounds or ()))
    parts = model.order.parts_of_row(row, score)
    low, high = (None, None) if bounds is None else model.order.bounds_of_one(bounds, parts)
    return RowScore(score, percentile, low, high, *parts)
