"""What each action brings against doing nothing, by the choices that were random.

Let a decision choose action a with the logged probability P(a) and nothing with P(0), both above 0. Weighted
by 1 / P of what was chosen, the decisions for a and those for nothing are samples of the same decisions
(inverse propensity weighting). The means are normalised by the sum of the weights (Hájek):

    effect(a) = Σ w y [chose a] / Σ w [chose a] − Σ w y [chose nothing] / Σ w [chose nothing]

with w = 1 / P(chosen).

Its variance is that of the linearised estimate, summed per customer first, since the decisions of a
customer are not independent. The effective sample size of a group is (Σ w)² / Σ w²; below ``MIN_EFFECTIVE``
there is no answer. Decisions with one permitted option, or for the holdout, are no evidence and are left
out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from decisions.catalogue.actions import NOTHING
from decisions.results.statistics import Contrast, interval

MIN_EFFECTIVE = 100


@dataclass(frozen=True)
class ActionContrast:
    """An action against doing nothing.

    Attributes:
        chosen, nothing: the decisions that chose the action, and nothing where the action was permitted.
        effective_chosen, effective_nothing: their effective sample sizes.
        net_margin, orders: the differences per decision; None if there are too few random choices.
    """

    action: str
    chosen: int = 0
    nothing: int = 0
    effective_chosen: float = 0.0
    effective_nothing: float = 0.0
    net_margin: Contrast | None = None
    orders: Contrast | None = None


def contrasts(choices: pd.DataFrame) -> list[ActionContrast]:
    """Each action against doing nothing, by name.

    Args:
        choices: one row per decision: ``customer_key``, ``action``, ``probabilities`` by action, and what the
            customer brought within the window after it: ``net_margin`` (less the cost) and ``orders``.
    """
    names = sorted({name for row in choices["probabilities"] for name in row} - {NOTHING})
    return [contrast(choices, name) for name in names]


def contrast(choices: pd.DataFrame, action: str) -> ActionContrast:
    """An action against doing nothing; see :func:`contrasts`."""
    chances = np.array([(row.get(action, 0.0), row.get(NOTHING, 0.0)) for row in choices["probabilities"]])
    chances = chances.reshape(-1, 2)
    taken = choices["action"].to_numpy(object)
    supported = (chances > 0).all(axis=1)
    groups = [supported & (taken == action), supported & (taken == NOTHING)]
    weights = [
        np.divide(1.0, chances[:, i], out=np.zeros(len(choices)), where=group)
        for i, group in enumerate(groups)
    ]
    sizes = [float(w.sum() ** 2 / (w @ w)) if w.any() else 0.0 for w in weights]
    margin = orders = None
    if min(sizes) >= MIN_EFFECTIVE:
        customers = pd.factorize(choices["customer_key"])[0]
        margin, orders = (
            _hajek(choices[name].to_numpy(float), weights, customers, sizes)
            for name in ("net_margin", "orders")
        )
    chosen, nothing = (int(group.sum()) for group in groups)
    return ActionContrast(action, chosen, nothing, sizes[0], sizes[1], margin, orders)


def _hajek(
    values: np.ndarray, weights: list[np.ndarray], customers: np.ndarray, sizes: list[float]
) -> Contrast | None:
    means = [float(w @ values / w.sum()) for w in weights]
    influence = sum(
        (sign * w * (values - mean) / w.sum() for sign, w, mean in zip((1, -1), weights, means, strict=True)),
        np.zeros(len(values)),
    )
    by_customer = np.bincount(customers, influence)
    taking_part = len(np.unique(customers[(weights[0] > 0) | (weights[1] > 0)]))
    variance = float(by_customer @ by_customer) * taking_part / (taking_part - 1)
    if variance <= 0:
        return None
    return interval(means[0], means[1], math.sqrt(variance), sum(sizes) - 2)
