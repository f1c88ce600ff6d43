"""Gradient-boosted trees (LightGBM), calibrated on held-out customers.

Both estimators cross-fit: every row is scored by trees that have not seen its customer, and the
correction (Platt's line for probabilities, a factor for money) is fitted to those scores. The
trees of the published model are then fitted on all rows.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array, FitContext
from models.estimators.single_row import SingleRow
from models.measures.metrics import Numbers, logistic_line, sigmoid

if TYPE_CHECKING:
    import lightgbm as lgb

FOLDS = 4
PARAMETERS: dict[str, Any] = {
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_cat_to_onehot": 8,
    "seed": 7,
    "deterministic": True,
    "force_row_wise": True,
    # One thread: on busy cores OpenMP's threads wait for one another. Folds run in parallel instead.
    "num_threads": 1,
    "verbosity": -1,
}


def import_lightgbm_alone() -> None:
    """Import LightGBM without scikit-learn, for a process that only scores and must start quickly.

    Importing scikit-learn takes longer than loading the models. LightGBM's scikit-learn classes, which are
    not used here, do not work in such a process.
    """
    if "sklearn" in sys.modules or "lightgbm" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment] # its import then fails, which LightGBM handles
    try:
        import lightgbm  # noqa: F401
    finally:
        del sys.modules["sklearn"]


def grow(parameters: dict[str, Any], rounds: int, x: Array, y: Array, categorical: list[int]) -> lgb.Booster:
    """Trees on the rows of a matrix, by LightGBM's own parameters."""
    import lightgbm as lgb

    data = lgb.Dataset(x, y, categorical_feature=categorical, params={"verbosity": -1})
    return lgb.train(parameters, data, num_boost_round=rounds)


def _cross_fitted(
    parameters: dict[str, Any], rounds: int, x: Array, y: Array,
    customers: NDArray[np.int64], categorical: list[int],
) -> Array:  # fmt: skip
    """Raw scores of each row by trees that have not seen its customer."""
    from sklearn.model_selection import GroupKFold

    raw = np.empty(len(y))

    def fold(fit: NDArray[np.int64], rest: NDArray[np.int64]) -> None:
        booster = grow(parameters, rounds, x[fit], y[fit], categorical)
        raw[rest] = booster.predict(x[rest], raw_score=True, num_threads=1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fold, *zip(*GroupKFold(FOLDS).split(x, y, customers), strict=True)))
    return raw


@dataclass(frozen=True)
class CalibratedTrees:
    """Probability of a 0/1 label: trees on log loss, then Platt scaling (Platt, 1999)."""

    rounds: int = 150
    parameters: dict[str, Any] = field(default_factory=lambda: PARAMETERS | {"objective": "binary"})

    def fit(
        self, x: Array, y: Array, customers: NDArray[np.int64], categorical: list[int],
        context: FitContext | None = None,  # noqa: ARG002 # folds by customer need no time
    ) -> FittedTrees:  # fmt: skip
        """Cross-fit, calibrate, then fit on all rows."""
        raw = _cross_fitted(self.parameters, self.rounds, x, y, customers, categorical)
        slope, intercept = logistic_line(y, raw)
        booster = grow(self.parameters, self.rounds, x, y, categorical)
        return FittedTrees(booster, {"link": "logit", "slope": slope, "intercept": intercept})


@dataclass(frozen=True)
class MoneyTrees:
    """Expected money, 0 for many customers and heavy-tailed for the rest: Tweedie trees with a log link.

    Tweedie's compound Poisson-gamma is the usual model of a sum of few payments (Jørgensen, 1987).
    The factor brings the total of cross-fitted predictions to the actual total.
    """

    rounds: int = 150
    parameters: dict[str, Any] = field(
        default_factory=lambda: PARAMETERS | {"objective": "tweedie", "tweedie_variance_power": 1.5}
    )

    def fit(
        self, x: Array, y: Array, customers: NDArray[np.int64], categorical: list[int],
        context: FitContext | None = None,  # noqa: ARG002 # folds by customer need no time
    ) -> FittedTrees:  # fmt: skip
        """Cross-fit, calibrate, then fit on all rows."""
        raw = _cross_fitted(self.parameters, self.rounds, x, y, customers, categorical)
        factor = float(y.sum() / np.exp(raw).sum())
        booster = grow(self.parameters, self.rounds, x, y, categorical)
        return FittedTrees(booster, {"link": "log", "factor": factor})


@dataclass(frozen=True)
class Trees:
    """The raw scores of a booster."""

    booster: lgb.Booster

    def raw(self, x: Array) -> Array:
        """The raw score of each row."""
        # One thread: with more, OpenMP's waiting makes the slowest responses a hundred times slower.
        return np.asarray(self.booster.predict(x, raw_score=True, num_threads=1))

    def raw_of_row(self, row: Array) -> float:
        """The raw score of a single row."""
        return self._single.raw(row)

    @cached_property
    def _single(self) -> SingleRow:
        return SingleRow(self.booster)

    def contributions(self, x: Array) -> Array:
        """Per row what each column adds to the raw score, and last the base common to all rows.

        SHAP values of trees (Lundberg et al., 2020), which add up to the raw score.
        """
        return np.asarray(self.booster.predict(x, pred_contrib=True, num_threads=1))

    @property
    def used(self) -> frozenset[int]:
        """The columns that the trees split on."""
        return frozenset(np.flatnonzero(self.booster.feature_importance("gain") > 0).tolist())


@dataclass(frozen=True)
class FittedTrees:
    """Trees and the calibration of their raw score.

    Attributes:
        intervals: always None.
        correction: ``{"link": "logit", "slope", "intercept"}`` or ``{"link": "log", "factor"}``.
    """

    booster: lgb.Booster
    correction: Mapping[str, Any]
    intervals: None = None

    def predict(self, x: Array) -> Array:
        """Probabilities, or money."""
        return np.array([self.predict_row(x[0])]) if len(x) == 1 else self.corrected(self._grown.raw(x))

    def predict_row(self, row: Array) -> float:
        """The same for a single row, to the last bit."""
        return float(self.corrected(self._grown.raw_of_row(row)))

    def predict_as_of(self, x: Array, days: NDArray[np.int64]) -> Array:  # noqa: ARG002 - the protocol's
        """The same as :meth:`predict`: no levels of the past are learnt."""
        return self.predict(x)

    @cached_property
    def _grown(self) -> Trees:
        return Trees(self.booster)

    def contributions(self, x: Array) -> Array:
        """Per row what each column adds to the raw score, and last the base common to all rows."""
        return self._grown.contributions(x)

    @property
    def used(self) -> frozenset[int]:
        """The columns that the trees split on."""
        return self._grown.used

    def corrected(self, raw: Numbers) -> Numbers:
        """Convert raw scores, or a single one, to probabilities or money."""
        if self.correction["link"] == "logit":
            log_odds: Numbers = self.correction["slope"] * raw + self.correction["intercept"]
            return sigmoid(log_odds)
        result: Numbers = self.correction["factor"] * np.exp(raw)
        return result

    def to_files(self) -> dict[str, bytes]:
        """LightGBM's text, and the correction as JSON."""
        text = self.booster.model_to_string()
        return {
            "trees.lgb": text.encode(),
            "parameters.json": json.dumps(dict(self.correction), indent=2).encode(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> FittedTrees:
        """Load what :meth:`to_files` wrote."""
        import lightgbm as lgb

        booster = lgb.Booster(model_str=files["trees.lgb"].decode())
        return cls(booster, json.loads(files["parameters.json"]))
