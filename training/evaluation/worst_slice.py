"""The slice for which a model works worst, as far as chance lets tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.measures.metrics import RANKING, of_draw
from models.spec import Array
from training.evaluation.slices import enough

DRAWS = 200
SEED = 0
LITTLE = (
    0.1  # of the mean outcome of all: what is added to both sides, so that nothing times many is still little
)
EVERYBODY = "all customers"  # where no slice holds enough outcomes


@dataclass(frozen=True)
class Worst:
    """Measures of the worst slices, and by measure which slice that is.

    ``worst_slice_auc`` (or ``_gini``) is the upper end of the slice's 95 % interval. ``worst_slice_level`` is
    by how many times mean score over mean outcome surely differs from that of all customers, whose level is
    another gate's matter and moves with the season: the end of the interval that is nearer to 1, or 1. So few
    customers are no reason to refuse a model, and many are. Both means have ``LITTLE`` of everybody's mean
    outcome added: who is told 4 and brings 1, where the mean is 100, is told right.
    """

    metrics: dict[str, float]
    slices: dict[str, str]


def worst(kind: str, parts: Sequence[tuple[str, Array, Array]]) -> Worst:
    """The slices with the lowest measure of ranking and with the level that is furthest off.

    Args:
        parts: of each slice the name, the outcomes and the scores; the first is everybody.
    """
    measured = [part for part in parts[1:] if enough(kind, part[1])] or [(EVERYBODY, *parts[0][1:])]
    _, outcome, score = parts[0]
    overall = float(score.sum()) / max(float(outcome.sum()), np.finfo(np.float64).tiny)
    little = LITTLE * max(float(outcome.mean()), np.finfo(np.float64).tiny)
    by_slice = {of: _of(kind, y, s / overall, little) for of, y, s in measured}
    ranked = min(by_slice, key=lambda of: by_slice[of][0])
    level = max(by_slice, key=lambda of: by_slice[of][1])
    measure = f"worst_slice_{RANKING[kind][0]}"
    return Worst(
        {measure: by_slice[ranked][0], "worst_slice_level": by_slice[level][1]},
        {measure: ranked, "worst_slice_level": level},
    )


def _of(kind: str, outcome: Array, score: Array, little: float) -> tuple[float, float]:
    """The best that the ranking may be, and the least that the level may be off.

    Args:
        score: at the level of everybody's outcomes.
    """
    dice, ranking = np.random.default_rng(SEED), of_draw(RANKING[kind][1], outcome, score)
    measures, ratios = np.empty(DRAWS), np.empty(DRAWS)
    for i in range(DRAWS):
        times = np.bincount(dice.integers(0, len(outcome), len(outcome)), minlength=len(outcome))
        measures[i] = ranking(times)
        ratios[i] = (times @ score / len(times) + little) / (times @ outcome / len(times) + little)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(np.nanquantile(measures, 0.975)), float(max(1.0, low, 1 / high))
