"""Constant hazards: probabilities within other horizons, expected orders and paid days."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_PROBABILITY = 1 - 1e-9  # a hazard is finite
MIN_PROBABILITY = 1e-9
MAX_REPEATING = 0.95  # a probability near 1 does not say how many orders are to come


def within(probability: NDArray[np.float64], days: int, window: int) -> NDArray[np.float64]:
    """The probability within ``window`` of ``days`` days by a constant hazard."""
    if window == days:
        return probability
    return -np.expm1(np.log1p(-np.minimum(probability, MAX_PROBABILITY)) * (window / days))


def orders_if_any(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """The expected orders of a customer who orders, by a constant hazard; 1 for a probability of 0."""
    bounded = np.clip(probability, MIN_PROBABILITY, MAX_REPEATING)
    return -np.log1p(-bounded) / bounded


def hazard(probability: NDArray[np.float64], days: int) -> NDArray[np.float64]:
    """The hazard per day, at least one in a billion so that it can be divided by."""
    return np.maximum(-np.log1p(-np.minimum(probability, MAX_PROBABILITY)) / days, 1e-9)


def paid_days(hazard_per_day: NDArray[np.float64], days: int) -> NDArray[np.float64]:
    """Of so many days, the expected number before the event."""
    return -np.expm1(-hazard_per_day * days) / hazard_per_day
