"""Attributes a function of a sum to the terms of the sum (Aumann and Shapley, 1974).

All terms are multiplied by one factor, the mean slope of the function along the straight line from the common
base to the row's sum; so the base and the attributions add up to the function's value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.estimator import Array

_NEAR = 1e-7  # closer to the base, the mean slope would be a quotient of rounding errors


def attributed(contributions: Array, function: Callable[[Array], Array]) -> Array:
    """Turn contributions to a sum into contributions to a function of it, row by row.

    Args:
        contributions: per row what each column adds, and last the common base.
        function: of sums; monotonic.
    """
    parts, start = contributions[:, :-1], contributions[:, -1]
    total = parts.sum(axis=1)
    step = np.where(np.abs(total) > _NEAR, total, _NEAR)
    base = function(start)
    slope = (function(start + step) - base) / step
    return np.column_stack([parts * slope[:, None], base])
