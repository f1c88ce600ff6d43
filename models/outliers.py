"""One order of a million among orders of thirty: the rule by which it drags nobody else after it.

Amounts above a cap count as the cap: the median times exp(6 s), where s is the robust standard deviation of
the logarithms (1.4826 × their median absolute deviation), at least 0.5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CAP_DEVIATIONS, MIN_DEVIATION = 6.0, 0.5


def cap_of(amounts: NDArray[np.float64]) -> float:
    """The largest amount that counts as it is; infinite where none is above 0.

    Args:
        amounts: those of 0 or less say nothing about it.
    """
    logs = np.log(amounts[amounts > 0])
    if not len(logs):
        return float("inf")
    middle = np.median(logs)
    deviation = max(1.4826 * float(np.median(np.abs(logs - middle))), MIN_DEVIATION)
    return float(np.exp(middle + CAP_DEVIATIONS * deviation))


def winsorized(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amounts, those above the cap as the cap."""
    return np.minimum(amounts, cap_of(amounts))
