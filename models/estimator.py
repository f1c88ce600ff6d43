"""The protocols of estimators and of what they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.outcome_totals import OutcomeTotals

Array = NDArray[np.float64]


class Ranges(Protocol):
    """Prediction intervals by score."""

    @property
    def level(self) -> float:
        """The share of outcomes that should lie within."""
        ...

    def of(self, score: Array) -> tuple[Array, Array]:
        """The lower and upper bound for each score, in its unit."""
        ...

    def of_one(self, score: float) -> tuple[float, float]:
        """The same bounds of a single score."""
        ...

    def deviation(self, score: Array) -> Array | None:
        """The standard deviation of the outcome for each score, in its unit; None if it is not known."""
        ...


class Fitted(Protocol):
    """A fitted estimator; it is written to and read from files without pickle."""

    def predict(self, x: Array) -> Array:
        """The scores of a matrix with one row per customer, one column per feature."""
        ...

    def predict_row(self, row: Array) -> float:
        """The same score, to the last bit, of a single row, an array of one dimension."""
        ...

    def predict_as_of(self, x: Array, days: NDArray[np.int64]) -> Array:
        """The same as of past days, at the levels of these days, if it learnt levels of the past.

        Args:
            days: of each row, counted from 1970-01-01.
        """
        ...

    def contributions(self, x: Array) -> Array:
        """Per row what each column adds to the raw score, and last the base common to all rows."""
        ...

    def corrected(self, raw: Array) -> Array:
        """Convert raw scores to scores; monotonically increasing."""
        ...

    @property
    def used(self) -> frozenset[int]:
        """The columns that can change the score: trees split on them, or a line gives them weight."""
        ...

    @property
    def intervals(self) -> Ranges | None:
        """Prediction intervals by score; None if there are none."""
        ...

    def to_files(self) -> dict[str, bytes]:
        """All files needed to load it again, by name."""
        ...


@dataclass(frozen=True)
class FitContext:
    """The meaning of the rows of a training matrix.

    Attributes:
        features: the name of each column.
        days: the day of each row's as_of, counted from 1970-01-01.
        horizon_days: the length of the labels' window.
        today: the day of training; every label was known by then.
        current: the matrix of today's customers, whose outcomes are predicted; None if it is not known.
        totals: the outcome's totals of past windows; None if the model has none.
    """

    features: tuple[str, ...]
    days: NDArray[np.int64]
    horizon_days: int
    today: int
    current: Array | None = None
    totals: OutcomeTotals | None = None


class Estimator(Protocol):
    """An estimator of a label from a matrix of features."""

    def fit(
        self,
        x: Array,
        y: Array,
        customers: NDArray[np.int64],
        categorical: list[int],
        context: FitContext | None = None,
    ) -> Fitted:
        """Fit the estimator.

        Args:
            x: one row per (customer, as_of), one column per feature; missing values are NaN.
            y: the labels.
            customers: the customer of each row; no split of the estimator may put a customer on both sides.
            categorical: the columns with codes of categories.
            context: the meaning and the days of the rows; None for rows without a moment.
        """
        ...
