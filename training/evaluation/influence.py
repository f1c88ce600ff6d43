"""The influence of each feature on the scores, by SHAP values (Lundberg et al., 2020): table and figures.

A contribution is in units of the raw score: log-odds, or the logarithm of money.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.estimator import Array
from models.registry.bundle import FittedModel
from models.registry.encoding import Column

MAX_CUSTOMERS = 2_000
IN_SUMMARY, IN_DEPENDENCE = 12, 6
_SEED, _CLIP = 7, (0.02, 0.98)
_COLOURS, _NO_COLOUR = "coolwarm", "lightgrey"
_UNITS = {"probability": "log-odds", "money": "logarithm of money"}


@dataclass(frozen=True)
class Influence:
    """The contributions of features to the raw scores of some customers.

    Attributes:
        columns: of the matrices, the most influential first.
        values: the encoded values; NaN if missing.
        contributions: positive if the score rises.
    """

    kind: str
    columns: tuple[Column, ...]
    values: Array
    contributions: Array

    @property
    def means(self) -> Array:
        """The mean absolute contribution of each column."""
        means: Array = np.abs(self.contributions).mean(axis=0)
        return means

    def section(self) -> tuple[str, str]:
        """Title and text for the card: the most influential features, and where the score rises."""
        width = max(len(column.name) for column in self.columns[:IN_SUMMARY])
        lines = [
            f"{column.name:<{width}}  {mean:8.4f}  {_direction(column, values, contributions)}"
            for column, mean, values, contributions in zip(
                self.columns[:IN_SUMMARY], self.means, self.values.T, self.contributions.T, strict=False
            )
            if mean > 0
        ]
        return f"Influence (mean absolute SHAP value, {_UNITS[self.kind]})", "\n".join(lines or ["none"])

    def figures(self) -> dict[str, Figure]:
        """The SHAP summary, and the dependence of the contribution on the value for the first features."""
        return {"shap_summary": self._summary(), "shap_dependence": self._dependence()}

    def _summary(self) -> Figure:
        columns = self.columns[:IN_SUMMARY]
        figure = Figure(figsize=(8, 1.4 + 0.42 * len(columns)), layout="constrained")
        axes, rng, points = figure.subplots(), np.random.default_rng(_SEED), None
        for place, column in enumerate(columns):
            values, contributions = self.values[:, place], self.contributions[:, place]
            height = place + rng.uniform(-0.3, 0.3, len(values))
            coloured = np.isfinite(values) & (column.dtype != "string")
            axes.scatter(contributions[~coloured], height[~coloured], s=5, linewidths=0, color=_NO_COLOUR)
            points = axes.scatter(
                contributions[coloured], height[coloured], c=_quantiles(values[coloured]), cmap=_COLOURS,
                vmin=0, vmax=1, s=5, linewidths=0,
            )  # fmt: skip
        axes.axvline(0, color="grey", linewidth=1)
        axes.set_yticks(range(len(columns)), [column.name for column in columns])
        axes.set_ylim(len(columns) - 0.5, -0.5)
        axes.set(xlabel=f"contribution to the score ({_UNITS[self.kind]})", title="SHAP summary")
        if points is not None:
            bar = figure.colorbar(points, ax=axes, ticks=[0, 1], aspect=40)
            bar.ax.set_yticklabels(["low", "high"])
            bar.set_label("value; grey: category or missing")
        return figure

    def _dependence(self) -> Figure:
        columns = self.columns[:IN_DEPENDENCE]
        across = min(3, len(columns))
        down = -(-len(columns) // across)
        figure = Figure(figsize=(4 * across, 3.2 * down), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for place, axes in enumerate(grid):
            if place >= len(columns):
                axes.set_axis_off()
                continue
            _scatter(axes, columns[place], self.values[:, place], self.contributions[:, place])
        figure.suptitle(f"SHAP dependence: contribution ({_UNITS[self.kind]}) by value")
        return figure


def influence_of(model: FittedModel, x: Array, kind: str) -> Influence:
    """The influence of a model's features on its scores of some customers, at most ``MAX_CUSTOMERS``.

    Args:
        x: a row per customer, in the columns of the model.
    """
    chosen = np.sort(np.random.default_rng(_SEED).permutation(len(x))[:MAX_CUSTOMERS])
    x = x[chosen]
    contributions = model.fitted.contributions(x)[:, :-1]
    if model.manifest["complement"]:
        contributions = -contributions
    order = np.argsort(-np.abs(contributions).mean(axis=0), kind="stable")
    return Influence(kind, tuple(model.columns[i] for i in order), x[:, order], contributions[:, order])


def _direction(column: Column, values: Array, contributions: Array) -> str:
    """Whether the score rises or falls with the value, by the correlation of ranks."""
    known = np.isfinite(values)
    if column.dtype == "string":
        return "by category"
    if known.sum() < 3 or np.ptp(values[known]) == 0 or np.ptp(contributions[known]) == 0:
        return ""
    from scipy.stats import spearmanr

    correlation = float(spearmanr(values[known], contributions[known]).statistic)
    if abs(correlation) < 0.3:
        return "neither rises nor falls throughout"
    return f"{'rises' if correlation > 0 else 'falls'} with the value"


def _quantiles(values: Array) -> Array:
    """The rank of each value, from 0 to 1."""
    distinct, inverse = np.unique(values, return_inverse=True)
    ranks: Array = inverse.reshape(-1) / max(1, len(distinct) - 1)
    return ranks


def _scatter(axes: Axes, column: Column, values: Array, contributions: Array) -> None:
    """The contribution by value; extreme values are beyond the axis, categories side by side."""
    known = np.isfinite(values)
    if column.dtype == "string":
        jitter = np.random.default_rng(_SEED).uniform(-0.25, 0.25, len(values))
        axes.scatter((values + jitter)[known], contributions[known], s=5, linewidths=0)
        shown = column.vocabulary if len(column.vocabulary) <= 8 else ()
        axes.set_xticks(range(len(shown)), [name[:14] for name in shown], rotation=45, ha="right")
    else:
        axes.scatter(values[known], contributions[known], s=5, linewidths=0)
        low, high = np.quantile(values[known], _CLIP) if known.any() else (0.0, 0.0)
        if high > low:
            margin = 0.05 * (high - low)
            axes.set_xlim(low - margin, high + margin)
    axes.axhline(0, color="grey", linewidth=1)
    axes.set_xlabel(f"{column.name} ({column.unit})")
