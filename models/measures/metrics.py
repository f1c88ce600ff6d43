"""Measures of models, each with its formula. Arrays are one-dimensional and of equal length."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.measures import resampled

Array = NDArray[np.float64]
Numbers = TypeVar("Numbers", float, Array)


def auc(outcome: Array, score: Array) -> float:
    """Area under the ROC curve: the probability that a customer with the outcome has a higher score than one
    without.

    Computed from the ranks of the scores (Mann and Whitney, 1947), which is fast enough for thousands of
    resamples; NaN if all customers have the outcome, or none.
    """
    if not np.isfinite(score).all():
        raise ValueError("scores must be numbers")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # equal scores have their mean rank
    having = outcome > 0
    with_it, without = int(having.sum()), int((~having).sum())
    if not with_it or not without:
        return float("nan")
    return float((ranks[having].sum() - with_it * (with_it + 1) / 2) / (with_it * without))


def brier(outcome: Array, probability: Array) -> float:
    """Mean squared error of probabilities (Brier, 1950); lower is better."""
    return float(np.mean((probability - outcome) ** 2))


def log_loss(outcome: Array, probability: Array) -> float:
    """Mean negative log-likelihood, in nats; probabilities are clipped to 1e-7 from 0 and 1."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(-np.mean(outcome * np.log(p) + (1 - outcome) * np.log(1 - p)))


def logit(probability: Array) -> Array:
    """Log-odds; probabilities are clipped to 1e-7 from 0 and 1."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    result: Array = np.log(p / (1 - p))
    return result


def sigmoid(log_odds: Numbers) -> Numbers:
    """The inverse of :func:`logit`, without overflow at either end."""
    result: Numbers = 0.5 * (1 + np.tanh(0.5 * log_odds))
    return result


def logistic_line(outcome: Array, log_odds: Array) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of the outcome on one score.

    On a model's own log-odds this is Cox's calibration line (1958): slope 1 and intercept 0 for a
    calibrated model. As a fit it is Platt scaling (1999).
    """
    from scipy.optimize import minimize  # imported here, since only training needs it and it slows the start

    def loss(line: Array) -> tuple[float, Array]:
        z = line[0] * log_odds + line[1]
        residual = sigmoid(z) - outcome
        value = float(np.mean(np.logaddexp(0, z) - outcome * z))
        return value, np.array([np.mean(residual * log_odds), np.mean(residual)])

    start = np.array([1.0, 0.0])
    slope, intercept = minimize(loss, start, jac=True, method="BFGS").x
    return float(slope), float(intercept)


def coverage(outcome: Array, low: Array, high: Array) -> float:
    """Share of the outcomes within their intervals, bounds included."""
    return float(np.mean((low <= outcome) & (outcome <= high)))


def calibration_slope(outcome: Array, probability: Array) -> float:
    """Slope of Cox's calibration line: below 1 the model is overconfident, above 1 underconfident."""
    return logistic_line(outcome, logit(probability))[0]


def calibration_table(outcome: Array, score: Array, bins: int = 10) -> list[dict[str, float]]:
    """Mean score against mean outcome in bins of equal size, from the lowest scores up."""
    order = np.argsort(score, kind="stable")
    return [
        {
            "customers": len(part),
            "predicted": float(score[part].mean()),
            "actual": float(outcome[part].mean()),
        }
        for part in np.array_split(order, min(bins, len(order)))
    ]


def gain_curve(outcome: Array, score: Array) -> Array:
    """Share of the total outcome of the best-scored customers, at 0 %, 1 %, ... 100 % of them.

    Customers with equal scores share their outcome equally, so that the curve does not depend on
    the order of rows. The outcome may be money; a total of 0 gives the diagonal.
    """
    grid = np.linspace(0, 1, 101)
    if len(score) == 0 or outcome.sum() == 0:
        return grid
    values, inverse = np.unique(-score, return_inverse=True)
    counts = np.bincount(inverse, minlength=len(values))
    sums = np.bincount(inverse, weights=outcome, minlength=len(values))
    x = np.concatenate([[0], np.cumsum(counts) / len(score)])
    y = np.concatenate([[0], np.cumsum(sums) / outcome.sum()])
    curve: Array = np.interp(grid, x, y)
    return curve


def gini(outcome: Array, score: Array) -> float:
    """Gini coefficient of the outcome ordered by the score: 2 × area under the gain curve − 1.

    Equal scores share their outcome, so a constant score has a coefficient of 0.
    """
    if len(score) == 0 or outcome.sum() == 0:
        return 0.0
    values, inverse = np.unique(-score, return_inverse=True)
    x = np.cumsum(np.bincount(inverse, minlength=len(values))) / len(score)
    y = np.cumsum(np.bincount(inverse, weights=outcome, minlength=len(values))) / outcome.sum()
    x, y = np.concatenate([[0], x]), np.concatenate([[0], y])
    return float(2 * np.trapezoid(y, x) - 1)


def normalised_gini(outcome: Array, score: Array) -> float:
    """:func:`gini` of the score over that of the outcome itself: 1 ranks perfectly, 0 at random."""
    best = gini(outcome, outcome)
    return gini(outcome, score) / best if best else 0.0


def lift_at(outcome: Array, score: Array, share: float = 0.1) -> float:
    """The average outcome of the best-scored ``share`` of customers, as a multiple of the average of all."""
    return float(gain_curve(outcome, score)[round(share * 100)] / share)


def mean_absolute_error(outcome: Array, prediction: Array) -> float:
    """Mean absolute error, in the outcome's unit."""
    return float(np.mean(np.abs(outcome - prediction)))


def total_ratio(outcome: Array, prediction: Array) -> float:
    """Predicted total over actual total; NaN if the actual total is 0."""
    total = outcome.sum()
    return float(prediction.sum() / total) if total else float("nan")


def wilson_interval(having: int, customers: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score (1927), which holds for few customers too.

    Args:
        having: the number of those with the outcome, of ``customers``; without customers the interval is
            [0, 1].
    """
    if not customers:
        return 0.0, 1.0
    z = 1.959964
    share, weight = having / customers, z**2 / customers
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * np.sqrt(share * (1 - share) / customers + weight / (4 * customers))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def paired_bootstrap(
    origins: list[tuple[Array, Array, Array]],
    metric: Callable[[Array, Array], float],
    draws: int = 1000,
    seed: int = 0,
    customers: list[NDArray[np.int64]] | None = None,
) -> tuple[float, float, float]:
    """Mean difference of a metric between two scores, with its 95 % interval.

    Customers are drawn with replacement, the same ones for both scores (a paired bootstrap,
    Efron & Tibshirani 1993, ch. 8), within each origin; the difference is averaged over origins.

    Args:
        origins: per origin the outcome, our score and the other's.
        metric: a function of outcome and score; higher is better.
        customers: per origin the customer of each row. A drawn customer is drawn at every origin, since
            the outcomes of one customer are correlated; without it, origins are resampled independently.

    Returns:
        The mean difference (ours − the other's), and its 2.5 % and 97.5 % quantiles.
    """
    rng = np.random.default_rng(seed)
    observed = np.mean([metric(y, a) - metric(y, b) for y, a, b in origins])
    everyone, where = _whose(origins, customers)
    measures = [(of_draw(metric, y, a), of_draw(metric, y, b)) for y, a, b in origins]
    drawn = np.empty(draws)
    for i in range(draws):
        values = []
        times = _times(rng, everyone) if everyone else None
        for (y, _, _), (ours, other), whose in zip(origins, measures, where, strict=True):
            rows = _times(rng, len(y)) if times is None else times[whose]
            values.append(ours(rows) - other(rows))
        drawn[i] = np.mean(values)
    low, high = np.nanquantile(drawn, [0.025, 0.975])  # NaN for a draw without any outcome
    return float(observed), float(low), float(high)


def of_draw(metric: Callable[[Array, Array], float], outcome: Array, score: Array) -> resampled.OfDraw:
    """The metric of a resample, given how often each row was drawn; fast for ranking metrics."""
    quick = _QUICK.get(metric)
    if quick is not None:
        return quick(outcome, score)

    def measure(times: NDArray[np.int64]) -> float:
        rows = np.repeat(np.arange(len(times)), times)
        return metric(outcome[rows], score[rows])

    return measure


_QUICK: dict[Callable[[Array, Array], float], Callable[[Array, Array], resampled.OfDraw]] = {
    auc: resampled.auc,
    normalised_gini: resampled.normalised_gini,
}


def _times(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """How often each of ``count`` items is drawn, in ``count`` draws with replacement."""
    return np.bincount(rng.integers(0, count, count), minlength=count)


def _whose(
    origins: list[tuple[Array, Array, Array]], customers: list[NDArray[np.int64]] | None
) -> tuple[int, list[NDArray[np.int64]]]:
    """How many customers there are, and per origin the number (from 0) of each row's."""
    if customers is None:
        return 0, [np.empty(0, np.int64)] * len(origins)
    everyone, numbers = np.unique(np.concatenate(customers), return_inverse=True)
    return len(everyone), np.split(numbers, np.cumsum([len(keys) for keys in customers])[:-1])


RANKING: dict[str, tuple[str, Callable[[Array, Array], float]]] = {
    "probability": ("auc", auc),
    "money": ("gini", normalised_gini),
}
"""For each kind of score the ranking metric, with its name."""
