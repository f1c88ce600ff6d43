"""Inner splits into training and held-out rows: by time, or by customer if the history is short."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array, FitContext

FEWEST_MOMENTS, MAX_MOMENTS = 2, 4  # a single moment is a single season
FOLDS = 4
MIN_OUTCOMES = 20  # of each kind, on either side
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class ValidationSplit:
    """The positions of the training and held-out rows.

    Attributes:
        day: the day of the held-out rows; None if they are of all days.
    """

    learnt: Rows
    held_out: Rows
    day: int | None = None


@dataclass(frozen=True)
class HeldOut:
    """The predictions of the held-out rows of all splits, each split at its actual total.

    Attributes:
        rows: their positions, each at most once.
        predicted: probabilities, or money in currency.
    """

    rows: Rows
    predicted: Array


def by_time(context: FitContext, y: Array, kind: str) -> list[ValidationSplit]:
    """Moments spread over time, each with the rows known before it as training rows; none if there are too
    few.

    Args:
        kind: of the labels, ``probability`` or ``money``.
    """
    splits = []
    for day in np.unique(context.days):
        learnt = np.flatnonzero(context.days + context.horizon_days <= day)
        held_out = np.flatnonzero(context.days == day)
        if _enough(y[learnt], kind) and _enough(y[held_out], kind):
            splits.append(ValidationSplit(learnt, held_out, int(day)))
    if len(splits) <= MAX_MOMENTS:
        return splits if len(splits) >= FEWEST_MOMENTS else []
    return [splits[i] for i in np.linspace(0, len(splits) - 1, MAX_MOMENTS).round().astype(int)]


def by_customer(customers: NDArray[np.int64]) -> list[ValidationSplit]:
    """Folds by customer."""
    from sklearn.model_selection import GroupKFold

    split = GroupKFold(FOLDS).split(customers, groups=customers)
    return [ValidationSplit(learnt, held_out) for learnt, held_out in split]


def _enough(y: Array, kind: str) -> bool:
    having = int((y > 0).sum())
    return min(having, len(y) - having if kind == "probability" else having) >= MIN_OUTCOMES
