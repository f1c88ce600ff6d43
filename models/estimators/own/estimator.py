"""Fits a user's estimator like Patron's own: prepared features, calibration out of fold, intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import PatronError
from models.estimator import Array, FitContext
from models.estimators.intervals import fit_intervals
from models.estimators.own.definition import Definition, OwnFile
from models.estimators.own.fitted import FittedOwn, raw_scores
from models.measures.metrics import logistic_line

FOLDS = 4


@dataclass(frozen=True)
class OwnEstimator:
    """An estimator that a user names.

    Each fit gets a pipeline: categories as indicators, and unless the estimator handles missing values
    itself, the median in their place and standardised columns.

    Attributes:
        call, file: see :class:`models.estimators.own.definition.Definition`.
        kind: ``probability``, for a classifier or a regressor of 0 and 1; or ``money``, for a regressor.
    """

    call: str
    kind: str
    file: OwnFile | None = None

    def fit(
        self, x: Array, y: Array, customers: NDArray[np.int64], categorical: list[int],
        context: FitContext | None = None,  # noqa: ARG002 # folds by customer need no time
    ) -> FittedOwn:  # fmt: skip
        """Cross-fit by customers, calibrate, then fit on all rows.

        Raises:
            PatronError: the estimator does not suit the question, or fails.
        """
        from sklearn.model_selection import GroupKFold

        target = y.astype(np.int64) if self._classifies() else y
        raw = np.empty(len(y))
        for train, rest in GroupKFold(FOLDS).split(x, y, customers):
            raw[rest] = raw_scores(self._fitted(x[train], target[train], categorical), self.kind, x[rest])
        slope, intercept = self._line(y, raw)
        money = np.exp(slope * raw + intercept) if self.kind == "money" else None
        return FittedOwn(
            self.kind,
            self._fitted(x, target, categorical),
            slope,
            intercept,
            background(x, categorical),
            None if money is None else fit_intervals(y, money),
            self.file,
        )

    @property
    def _definition(self) -> Definition:
        return Definition(self.call, self.file)

    def _classifies(self) -> bool:
        from sklearn.base import is_classifier

        classifies = is_classifier(self._definition.make())
        if classifies and self.kind == "money":
            raise PatronError(f"{self.call} is a classifier, and the outcome is money; use a regressor")
        return bool(classifies)

    def _line(self, y: Array, raw: Array) -> tuple[float, float]:
        """The correction of raw scores from outside of the fits: Platt's line, or a factor for money."""
        if self.kind == "probability":
            return logistic_line(y, raw)
        return 1.0, float(np.log(max(y.sum(), 1e-9) / np.exp(raw).sum()))

    def _fitted(self, x: Array, y: NDArray[Any], categorical: list[int]) -> Any:
        pipeline = _pipeline(self._definition.make(), categorical)
        try:
            return pipeline.fit(x, y)
        except PatronError:
            raise
        except Exception as error:  # of many kinds: it is the user's estimator
            raise PatronError(f"{self.call} fails: {type(error).__name__}: {error}") from error


def background(x: Array, categorical: list[int]) -> Array:
    """The customer with whom explanations compare: medians of numbers, and the most common categories."""
    known = np.isfinite(x)
    row = np.full(x.shape[1], np.nan)
    for column in range(x.shape[1]):
        values = x[known[:, column], column]
        if len(values) and column in categorical:
            row[column] = np.bincount(values.astype(np.int64)).argmax()
        elif len(values):
            row[column] = np.median(values)
    return row


def _pipeline(estimator: Any, categorical: list[int]) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.utils import get_tags

    indicators = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    steps: list[Any] = [ColumnTransformer([("categories", indicators, categorical)], remainder="passthrough")]
    if not get_tags(estimator).input_tags.allow_nan:
        steps += [SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()]
    return make_pipeline(*steps, estimator)
