"""The figures of an evaluation: calibration, gain, and the ranking measure per slice."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from models.questions.gates import LEVEL_EXCESS
from training.evaluation.evaluate import RANKING, Evaluation

_NO_SKILL = {"auc": 0.5, "gini": 0.0}
_CALLED = {"auc": "AUC (0.5 is chance)", "gini": "normalised Gini (0 is chance)"}
_OURS, _AIDS = "tab:blue", "grey"


def plots(evaluation: Evaluation, unit: str) -> dict[str, Figure]:
    """The figures by name.

    Args:
        unit: of the score and the outcome.
    """
    figures = {"calibration": _calibration(evaluation, unit), "gain": _gain(evaluation)}
    if evaluation.levels:
        figures["levels"] = _levels(evaluation)
    return figures | ({"slices": _slices(evaluation)} if evaluation.by_slice else {})


def _calibration(evaluation: Evaluation, unit: str) -> Figure:
    """Predicted against actual, by tenth of the customers."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    predicted = [row["predicted"] for row in evaluation.calibration]
    actual = [row["actual"] for row in evaluation.calibration]
    end = max(*predicted, *actual)
    axes.plot([0, end], [0, end], color=_AIDS, linewidth=1, label="perfect")
    axes.plot(predicted, actual, marker="o", label="tenths of customers")
    axes.set(xlabel=f"predicted ({unit})", ylabel=f"actual ({unit})", title="Calibration")
    axes.legend()
    return figure


def _gain(evaluation: Evaluation) -> Figure:
    """Share of the outcome among the best-scored customers, compared with the baselines."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    grid = np.linspace(0, 100, 101)
    for name, curve in evaluation.gains.items():
        axes.plot(grid, 100 * curve, label=name)
    axes.plot([0, 100], [0, 100], color=_AIDS, linewidth=1, label="chance")
    axes.set(xlabel="customers, best score first (%)", ylabel="share of the outcome (%)", title="Gain")
    axes.legend()
    return figure


def _levels(evaluation: Evaluation) -> Figure:
    """Predicted over actual total at each moment, of all customers and of each value tier."""
    rows = evaluation.levels
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.axhspan(1 / LEVEL_EXCESS, LEVEL_EXCESS, color=_AIDS, alpha=0.15, label="within the gate")
    axes.axhline(1, color=_AIDS, linewidth=1)
    places = range(len(rows))
    for tier in dict.fromkeys(name for row in rows for name in row.tiers):
        ratios = [row.tiers.get(tier, float("nan")) for row in rows]
        axes.plot(places, ratios, marker=".", linewidth=0.8, label=f"tier {tier}")
    axes.plot(places, [row.ratio for row in rows], marker="o", color="black", label="all customers")
    axes.set_yscale("log", base=2)
    axes.set_xticks(places, [row.day for row in rows], rotation=30)
    axes.set(ylabel="predicted / actual total", title="Level at the last moments")
    axes.legend(fontsize=8)
    return figure


def _slices(evaluation: Evaluation) -> Figure:
    """The ranking measure of each slice, from chance level on, compared with all customers."""
    name, _ = RANKING[evaluation.kind]
    rows, overall, chance = evaluation.by_slice, evaluation.metrics[name], _NO_SKILL[name]
    figure = Figure(figsize=(8, 1.6 + 0.38 * len(rows)), layout="constrained")
    axes = figure.subplots()
    values_column = axes.get_yaxis_transform()  # values are in a column to the right of the bars
    for place, row in enumerate(rows):
        if row.measure is None:
            axes.text(chance, place, " too few outcomes", va="center", color=_AIDS, fontsize=9)
            continue
        axes.barh(place, row.measure - chance, left=chance, color=_OURS, height=0.65)
        axes.text(1.01, place, f"{row.measure:.2f}", va="center", fontsize=9, transform=values_column)
    axes.axvline(chance, color=_AIDS, linewidth=1)
    axes.axvline(overall, color="black", linewidth=1.2, linestyle="--", label=f"all customers: {overall:.2f}")
    axes.set_yticks(range(len(rows)), [f"{row.of}  (n = {row.customers:,})" for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first row on top, with space for a last one without a bar
    axes.set(xlabel=_CALLED[name], title="How well customers are ranked, by slice")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", frameon=False)
    return figure
