"""The level of a model: predicted over actual total at the last moments whose outcomes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.estimator import Array
from models.measures.metrics import total_ratio

TIER = "value_tier"


@dataclass(frozen=True)
class LevelRow:
    """The level at a moment, of scores by a fit that did not know its outcomes.

    Attributes:
        day: of the moment, ISO 8601.
        predicted, actual: the totals of all customers, in the score's unit.
        tiers: predicted over actual total of the customers of each value tier with an outcome.
    """

    day: str
    predicted: float
    actual: float
    tiers: dict[str, float]

    @property
    def ratio(self) -> float:
        """Predicted over actual total."""
        return self.predicted / self.actual


def level_row(day: str, customers: pd.DataFrame, score: Array) -> LevelRow | None:
    """The level at a moment; None without any outcome or prediction.

    Args:
        customers: their ``label`` and value tier.
    """
    outcome = customers["label"].to_numpy(np.float64)
    if min(float(score.sum()), float(outcome.sum())) <= 0:
        return None
    tier = customers[TIER].astype(object) if TIER in customers else pd.Series(dtype=object)
    ratios = {
        str(name): total_ratio(outcome[rows], score[rows])
        for name, rows in tier.groupby(tier).indices.items()
        if outcome[rows].sum() > 0
    }
    return LevelRow(day, float(score.sum()), float(outcome.sum()), dict(sorted(ratios.items())))


def level_metrics(rows: Sequence[LevelRow], sd: float | None) -> dict[str, float]:
    """The level over all moments, as metrics.

    ``level_ratio`` is the geometric mean of predicted over actual. ``level_excess`` is the factor by which it
    differs from 1 beyond what the shop's own variation explains: twice the standard deviation of the forecast
    of the level. It is 1 within that band. Both are NaN if there is no moment with outcomes.

    Args:
        sd: the standard deviation of the logarithm of actual over forecast total; None if it is not known.
    """
    if not rows:
        return {"level_ratio": float("nan"), "level_excess": float("nan"), "level_moments": 0.0}
    mean = float(np.mean([np.log(row.ratio) for row in rows]))
    return {
        "level_ratio": float(np.exp(mean)),
        "level_excess": float(np.exp(max(abs(mean) - 2 * (sd or 0.0), 0.0))),
        "level_moments": float(len(rows)),
    }
