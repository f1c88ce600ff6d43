"""Totals of predictions over customers, each with an interval that contains nine in ten actual totals.

Two causes separate an actual total from the predicted one:

- chance: customers act independently of each other, so variances add up;
- the level (:mod:`models.estimators.level`): all predictions are too high or too low together, so
  deviations add up.

With ``T`` the predicted total, ``C`` the bound of the total by chance alone, and ``L`` the total of the same
customers if the level is at its 5 % (for low) or 95 % quantile (for high), one per model involved::

    low  = T - sqrt((T - C_low)²  + Σ (T - L_low)²)
    high = T + sqrt((C_high - T)² + Σ (L_high - T)²)

``C`` is normal for numbers of customers, and gamma for money, whose totals are skewed and not negative
(Wilson and Hilferty, 1931, The distribution of chi-square). The levels of two models are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array
from models.measures.metrics import logit, sigmoid

Z = 1.6449  # the normal distribution's 95 % quantile: one in ten is outside, half of them on each side


@dataclass(frozen=True)
class Outcomes:
    """Predicted outcomes, one per customer; NaN for customers without a prediction.

    Attributes:
        expected: the mean of each outcome.
        variance: of each outcome at a given level; None if it is not known, and totals have no interval.
        levels: per model, the means if its level is at its 5 % and at its 95 % quantile.
        counted: whether totals are numbers of customers, so that each outcome is 0 or 1.
    """

    expected: Array
    variance: Array | None
    levels: Sequence[tuple[Array, Array]]
    counted: bool

    def at(self, rows: NDArray[np.int64]) -> Outcomes:
        """The outcomes of the customers in these rows; NaN for a row below 0."""

        def take(values: Array) -> Array:
            return np.where(rows < 0, np.nan, values[rows]) if len(values) else np.full(len(rows), np.nan)

        return replace(
            self,
            expected=take(self.expected),
            variance=None if self.variance is None else take(self.variance),
            levels=[(take(low), take(high)) for low, high in self.levels],
        )


@dataclass(frozen=True)
class Total:
    """The total of the outcomes of a group of customers.

    Attributes:
        customers: those who have a prediction.
        low, high: the interval; None if it is not known. Of numbers of customers they are whole.
    """

    customers: int
    expected: float
    low: float | None
    high: float | None


def probabilities(probability: Array, level_sd: float) -> Outcomes:
    """Outcomes that happen or not.

    Args:
        level_sd: the standard deviation of the level, on log-odds. It is learnt as that of the logarithm of
            the total, which is the same for a rare outcome; the total of a frequent one cannot grow as far.
    """
    line, shift = logit(probability), Z * level_sd
    levels = [(sigmoid(line - shift), sigmoid(line + shift))]
    return Outcomes(probability, probability * (1 - probability), levels, counted=True)


def amounts(score: Array, deviation: Array | None, level_sd: float) -> Outcomes:
    """Outcomes in money.

    Args:
        deviation: the standard deviation of each outcome at a given level; None if it is not known.
        level_sd: the standard deviation of the logarithm of the level.
    """
    variance = None if deviation is None else deviation**2
    factor = np.exp(Z * level_sd)
    return Outcomes(score, variance, [(score / factor, score * factor)], counted=False)


def amounts_at_risk(leaving: Outcomes, worth: Outcomes) -> Outcomes:
    """The money of customers who leave: the amount of each that leaves, and 0 of each that stays.

    Args:
        leaving: the probabilities. worth: the amounts of the same customers, independent of leaving.
    """
    p, m = leaving.expected, worth.expected
    variance = None if worth.variance is None else p * worth.variance + p * (1 - p) * m**2
    levels = [(low * m, high * m) for low, high in leaving.levels]
    levels += [(p * low, p * high) for low, high in worth.levels]
    return Outcomes(p * m, variance, levels, counted=False)


def totals(outcomes: Outcomes, group: NDArray[np.int64], groups: int) -> list[Total]:
    """The total of each group, of the customers who have a prediction.

    Args:
        group: the number of each customer's group, from 0; below 0 for none.
        groups: the number of groups.
    """
    rows = np.flatnonzero((group >= 0) & ~np.isnan(outcomes.expected))
    group, outcomes = group[rows], outcomes.at(rows)

    def add(values: Array) -> Array:
        return np.bincount(group, values, minlength=groups).astype(np.float64)

    count, expected = np.bincount(group, minlength=groups), add(outcomes.expected)
    low: Sequence[float | None] = [None] * groups
    high: Sequence[float | None] = [None] * groups
    if outcomes.variance is not None:
        bounds = _by_chance(expected, add(outcomes.variance), outcomes.counted)
        squares = [(expected - bound) ** 2 for bound in bounds]
        for level in outcomes.levels:
            for square, end in zip(squares, level, strict=True):
                square += (expected - add(end)) ** 2
        ends = np.maximum(expected - np.sqrt(squares[0]), 0.0), expected + np.sqrt(squares[1])
        if outcomes.counted:
            ends = np.floor(ends[0]), np.minimum(np.ceil(ends[1]), count)
        low, high = (end.tolist() for end in ends)
    return [Total(*row) for row in zip(count.tolist(), expected.tolist(), low, high, strict=True)]


def _by_chance(expected: Array, variance: Array, counted: bool) -> tuple[Array, Array]:
    """The bounds of totals at a given level."""
    width = Z * np.sqrt(variance)
    if counted:
        return expected - width, expected + width
    with np.errstate(divide="ignore", invalid="ignore"):
        ninth = np.where(expected > 0, variance / (9 * expected**2), 0.0)
    low, high = (expected * np.maximum(1 - ninth + side * np.sqrt(ninth), 0.0) ** 3 for side in (-Z, Z))
    # Of a few amounts that are rarely above 0, the formula is too low, and the normal bound suffices.
    return np.minimum(low, expected), np.maximum(high, expected + width)
