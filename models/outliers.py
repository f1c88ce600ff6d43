"""Winsorizing of amounts: one order of a million among orders of thirty must not dominate.

Amounts above a cap count as the cap: the median times exp(6 s), where s is the robust standard deviation of
the logarithms (1.4826 × their median absolute deviation), at least 0.5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CAP_DEVIATIONS, MIN_DEVIATION = 6.0, 0.5


def cap_of(amounts: NDArray[np.float64]) -> float:
    """The largest amount that is not capped; infinite if no amount is above 0.

    Args:
        amounts: those of 0 or less are ignored.
    """
    logs = np.log(amounts[amounts > 0])
    if not len(logs):
        return float("inf")
    middle = np.median(logs)
    deviation = max(1.4826 * float(np.median(np.abs(logs - middle))), MIN_DEVIATION)
    return float(np.exp(middle + CAP_DEVIATIONS * deviation))


def winsorized(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The amounts, capped."""
    return np.minimum(amounts, cap_of(amounts))
