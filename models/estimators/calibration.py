"""Calibration by splits: one slope for all splits, and an intercept per split.

Splits are moments, whose levels differ by season; a single line through all of them would be too flat.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.estimator import Array
from models.measures.metrics import sigmoid

TWEEDIE_POWER = 1.5  # the power of the mean by which the variance of money grows: between Poisson and gamma


def common_line(
    kind: str, outcome: Sequence[Array], raw: Sequence[Array], weights: Sequence[float] | None = None
) -> tuple[float, Array]:
    """The maximum-likelihood slope of outcomes on raw scores, and the intercept of each split.

    Probabilities use logistic regression (Platt, 1999); money uses Tweedie regression with a log link
    (Jørgensen, 1987), whose loss is the deviance without the terms that do not depend on the line.

    Args:
        kind: ``probability`` or ``money``.
        outcome, raw: one array per split.
        weights: of a row of each split, above 0; equal by default.
    """
    from scipy.optimize import minimize  # imported here, since only training needs it and it slows the start

    count = np.array([len(y) for y in outcome])
    where = np.repeat(np.arange(len(count)), count)
    scores = np.concatenate(raw)
    mean, y = float(scores.mean()), np.concatenate(outcome)
    unit = 1.0 if kind == "probability" else float(y.mean())
    z, y = scores - mean, y / unit
    weight = np.ones(len(y)) if weights is None else np.array(weights, np.float64)[where]
    weight /= weight.sum()
    losses = _logistic if kind == "probability" else _tweedie

    def loss(line: Array) -> tuple[float, Array]:
        values, residual = losses(y, line[0] * z + line[1:][where])
        residual = weight * residual
        by_split = np.bincount(where, residual, len(count))
        return float(weight @ values), np.concatenate([[residual @ z], by_split])

    solution = minimize(loss, np.concatenate([[1.0], np.zeros(len(count))]), jac=True, method="BFGS").x
    return float(solution[0]), solution[1:] - solution[0] * mean + np.log(unit)


def money_slope(outcome: Array, money: Array) -> float:
    """Slope of money on the logarithm of its prediction; below 1 the predictions are spread too far.

    The analogue for money of Cox's calibration line (1958); predictions are at least 0.01.
    """
    return common_line("money", [outcome], [np.log(np.maximum(money, 0.01))])[0]


def _logistic(y: Array, log_odds: Array) -> tuple[Array, Array]:
    return np.logaddexp(0, log_odds) - y * log_odds, sigmoid(log_odds) - y


def _tweedie(y: Array, log_money: Array) -> tuple[Array, Array]:
    eta = np.clip(log_money, -50, 50)
    low, high = np.exp((1 - TWEEDIE_POWER) * eta), np.exp((2 - TWEEDIE_POWER) * eta)
    return high / (2 - TWEEDIE_POWER) - y * low / (1 - TWEEDIE_POWER), high - y * low
