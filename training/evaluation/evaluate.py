"""Evaluates a model on held-out customers at a later time, compared with its baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from models.estimator import Array
from models.estimators.calibration import money_slope
from models.estimators.intervals import coverages
from models.measures import metrics
from models.spec import Question
from training.evaluation.levels import LevelRow, level_metrics
from training.evaluation.slices import enough, slices
from training.evaluation.tenths import Tenth, tenths_of
from training.evaluation.worst_slice import Worst, worst

Measure = Callable[[Array, Array], float]
RANKING = metrics.RANKING
MEASURES: dict[str, dict[str, Measure]] = {
    "probability": {
        "auc": metrics.auc,
        "brier": metrics.brier,
        "log_loss": metrics.log_loss,
        "calibration_slope": metrics.calibration_slope,
        "lift_at_10": metrics.lift_at,
    },
    "money": {
        "gini": metrics.normalised_gini,
        "mean_absolute_error": metrics.mean_absolute_error,
        "total_ratio": metrics.total_ratio,
        "calibration_slope": money_slope,
        "lift_at_10": metrics.lift_at,
    },
}


@dataclass(frozen=True)
class SliceRow:
    """The measures of a slice of the customers.

    Attributes:
        measure: the ranking measure of ``RANKING``; None if there are too few outcomes.
        predicted: mean score.
        actual: mean outcome.
    """

    of: str
    customers: int
    measure: float | None
    predicted: float
    actual: float


@dataclass(frozen=True)
class Evaluation:
    """Measures by name (``auc``, ``auc_recency``, ``auc_over_recency`` ...) and the plots' data.

    Attributes:
        slices: for each worst-slice measure the slice.
        tenths: of the customers by score, the best first.
        levels: predicted and actual totals at the last moments, the oldest first.
    """

    kind: str
    metrics: dict[str, float]
    calibration: list[dict[str, float]]
    gains: dict[str, Array]
    by_slice: tuple[SliceRow, ...]
    customers: int
    slices: Mapping[str, str] = field(default_factory=dict)
    tenths: tuple[Tenth, ...] = ()
    levels: tuple[LevelRow, ...] = ()

    def with_levels(self, rows: Sequence[LevelRow], sd: float | None) -> Evaluation:
        """The evaluation with the level at several moments; see :func:`level_metrics`."""
        return replace(self, metrics=self.metrics | level_metrics(rows, sd), levels=tuple(rows))

    def failed_gates(self, model: Question) -> tuple[str, ...]:
        """A message for each failed gate."""
        refusals = (gate.refusal(self.metrics, self.slices.get(gate.metric)) for gate in model.gates)
        return tuple(words for words in refusals if words is not None)

    def documents(self) -> Mapping[str, Any]:
        """The data of the plots, for MLflow."""
        documents: dict[str, Any] = {
            "calibration": {
                "bins": self.calibration,
                "tenths": [asdict(tenth) for tenth in self.tenths],
            },
            "slices": {"rows": [asdict(row) for row in self.by_slice]},
        }
        if self.levels:
            documents["levels"] = {"rows": [asdict(row) for row in self.levels]}
        return documents


def evaluate(
    model: Question,
    frame: pd.DataFrame,
    horizon_days: int,
    score: Array,
    interval: tuple[Array, Array] | None = None,
) -> Evaluation:
    """Evaluate the scores of a frame that has the features and the label.

    Args:
        interval: the lower and upper bound of each row's outcome.
    """
    outcome = frame["label"].to_numpy(np.float64)
    measures = {name: measure(outcome, score) for name, measure in MEASURES[model.kind].items()}
    measures |= {"outcome_mean": float(outcome.mean()), "test_customers": float(len(outcome))}
    if interval is not None:
        measures |= coverages(outcome, score, *interval)
    gains = {model.name: metrics.gain_curve(outcome, score)}
    name, ranking = RANKING[model.kind]
    for baseline in model.baselines:
        other = baseline.score(frame, horizon_days).fillna(0).to_numpy(np.float64)
        measures[f"{name}_{baseline.name}"] = ranking(outcome, other)
        measures[f"{name}_over_{baseline.name}"] = measures[name] - measures[f"{name}_{baseline.name}"]
        gains[baseline.name] = metrics.gain_curve(outcome, other)
    parts = _parts(frame, outcome, score)
    least = worst(model.kind, [("", outcome, score), *parts]) if parts else Worst({}, {})
    return Evaluation(
        model.kind,
        measures | least.metrics,
        metrics.calibration_table(outcome, score),
        gains,
        by_slice(model.kind, frame, score),
        len(outcome),
        least.slices,
        tenths_of(model.kind, frame, score),
    )


def by_slice(kind: str, frame: pd.DataFrame, score: Array) -> tuple[SliceRow, ...]:
    """The ranking measure and the calibration of each nonempty slice of the frame."""
    _, ranking = RANKING[kind]
    return tuple(
        SliceRow(of, len(y), ranking(y, s) if enough(kind, y) else None, float(s.mean()), float(y.mean()))
        for of, y, s in _parts(frame, frame["label"].to_numpy(np.float64), score)
    )


def _parts(frame: pd.DataFrame, outcome: Array, score: Array) -> list[tuple[str, Array, Array]]:
    """The name, the outcomes and the scores of each nonempty slice."""
    return [(of, outcome[mask], score[mask]) for of, mask in slices(frame) if mask.any()]
