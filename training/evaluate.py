"""What a model shows on customers and a time it has not seen, beside its baselines, as data and plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models import metrics
from models.spec import Array, CustomerModel

Measure = Callable[[Array, Array], float]
RANKING: dict[str, tuple[str, Measure]] = {
    "probability": ("auc", metrics.auc),
    "money": ("gini", metrics.normalised_gini),
}
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
        "lift_at_10": metrics.lift_at,
    },
}


@dataclass(frozen=True)
class Evaluation:
    """Measures by name (``auc``, ``auc_recency``, ``auc_over_recency`` ...) and the plots' data."""

    metrics: dict[str, float]
    calibration: list[dict[str, float]]
    gains: dict[str, Array]
    customers: int

    def refusals(self, model: CustomerModel) -> tuple[str, ...]:
        """Which gates stay shut, in words."""
        said = (gate.refusal(self.metrics) for gate in model.gates)
        return tuple(words for words in said if words is not None)

    def documents(self) -> Mapping[str, Any]:
        """The data of the plots, for MLflow."""
        return {"calibration": {"bins": self.calibration}}


def evaluate(model: CustomerModel, frame: pd.DataFrame, horizon_days: int, score: Array) -> Evaluation:
    """Measure scores of a frame that holds the features and the label."""
    outcome = frame["label"].to_numpy(np.float64)
    found = {name: measure(outcome, score) for name, measure in MEASURES[model.kind].items()}
    found |= {"outcome_mean": float(outcome.mean()), "test_customers": float(len(outcome))}
    gains = {model.name: metrics.gain_curve(outcome, score)}
    name, ranking = RANKING[model.kind]
    for baseline in model.baselines:
        other = baseline.score(frame, horizon_days).fillna(0).to_numpy(np.float64)
        found[f"{name}_{baseline.name}"] = ranking(outcome, other)
        found[f"{name}_over_{baseline.name}"] = found[name] - found[f"{name}_{baseline.name}"]
        gains[baseline.name] = metrics.gain_curve(outcome, other)
    return Evaluation(found, metrics.calibration_table(outcome, score), gains, len(outcome))


def plots(evaluation: Evaluation, unit: str) -> dict[str, Figure]:
    """Calibration (predicted against actual by tenth) and gain, as figures."""
    calibration = Figure(figsize=(5, 5), layout="constrained")
    axes = calibration.subplots()
    predicted = [row["predicted"] for row in evaluation.calibration]
    actual = [row["actual"] for row in evaluation.calibration]
    end = max(*predicted, *actual)
    axes.plot([0, end], [0, end], color="grey", linewidth=1, label="perfect")
    axes.plot(predicted, actual, marker="o", label="tenths of customers")
    axes.set(xlabel=f"predicted ({unit})", ylabel=f"actual ({unit})", title="Calibration")
    axes.legend()
    gain = Figure(figsize=(5, 5), layout="constrained")
    axes = gain.subplots()
    grid = np.linspace(0, 100, 101)
    for name, curve in evaluation.gains.items():
        axes.plot(grid, 100 * curve, label=name)
    axes.plot([0, 100], [0, 100], color="grey", linewidth=1, label="chance")
    axes.set(xlabel="customers, best score first (%)", ylabel="share of the outcome (%)", title="Gain")
    axes.legend()
    return {"calibration": calibration, "gain": gain}
