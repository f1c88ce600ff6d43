"""Finds the slice for which a model is worst, beyond noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.estimator import Array
from models.measures.metrics import RANKING, of_draw
from training.evaluation.slices import enough

DRAWS = 200
SEED = 0
LITTLE = 0.1  # of the overall mean outcome, added to both sides, so that ratios of tiny amounts do not count
EVERYBODY = "all customers"  # if no slice has enough outcomes


@dataclass(frozen=True)
class Worst:
    """The measures of the worst slices, and for each measure the slice.

    ``worst_slice_auc`` (or ``_gini``) is the upper bound of the slice's 95 % interval. ``worst_slice_level``
    is the factor by which the ratio of mean score to mean outcome differs significantly from that of all
    customers (which another gate checks, and which moves with the season): the bound of the interval that is
    nearer to 1, or 1. So noise in small slices is no reason to refuse a model, but errors in large ones are.
    ``LITTLE`` of the overall mean outcome is added to both means: a prediction of 4 for an outcome of 1 is
    right if the mean is 100. Both measures are NaN if all customers have the outcome, or none.
    """

    metrics: dict[str, float]
    slices: dict[str, str]


def worst(kind: str, parts: Sequence[tuple[str, Array, Array]]) -> Worst:
    """The slices with the lowest ranking measure and with the largest deviation of the level.

    Args:
        parts: for each slice the name, the outcomes and the scores; the first is all customers.
    """
    measured = [part for part in parts[1:] if enough(kind, part[1])] or [(EVERYBODY, *parts[0][1:])]
    measure = f"worst_slice_{RANKING[kind][0]}"
    _, outcome, score = parts[0]
    if len(np.unique(outcome > 0)) < 2 and (kind == "probability" or not outcome.any()):
        unknown = (measure, "worst_slice_level")
        return Worst(dict.fromkeys(unknown, float("nan")), dict.fromkeys(unknown, EVERYBODY))
    overall = float(score.sum()) / float(outcome.sum())
    little = LITTLE * float(outcome.mean())
    by_slice = {of: _of(kind, y, s / overall, little) for of, y, s in measured}
    ranked = min(by_slice, key=lambda of: by_slice[of][0])
    level = max(by_slice, key=lambda of: by_slice[of][1])
    return Worst(
        {measure: by_slice[ranked][0], "worst_slice_level": by_slice[level][1]},
        {measure: ranked, "worst_slice_level": level},
    )


def _of(kind: str, outcome: Array, score: Array, little: float) -> tuple[float, float]:
    """The upper bound of the ranking measure, and the smallest deviation of the level.

    Args:
        score: scaled to the overall level of outcomes.
    """
    dice, ranking = np.random.default_rng(SEED), of_draw(RANKING[kind][1], outcome, score)
    measures, ratios = np.empty(DRAWS), np.empty(DRAWS)
    for i in range(DRAWS):
        times = np.bincount(dice.integers(0, len(outcome), len(outcome)), minlength=len(outcome))
        measures[i] = ranking(times)
        ratios[i] = (times @ score / len(times) + little) / (times @ outcome / len(times) + little)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(np.nanquantile(measures, 0.975)), float(max(1.0, low, 1 / high))
