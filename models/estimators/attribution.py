"""Parts of a sum as parts of a function of it: the attribution of Aumann and Shapley (1974).

Each part is multiplied by one factor, the mean slope of the function along the straight way from where
all rows start to where a row ends; so the start and the parts make the function's value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.spec import Array

_NEAR = 1e-7  # so close to the start, the mean slope would be one rounding error over another


def attributed(contributions: Array, function: Callable[[Array], Array]) -> Array:
    """Contributions to a sum → contributions to a function of it, a row each.

    Args:
        contributions: per row what each column adds, and last what all start from.
        function: of sums; it rises or falls with them.
    """
    parts, start = contributions[:, :-1], contributions[:, -1]
    total = parts.sum(axis=1)
    step = np.where(np.abs(total) > _NEAR, total, _NEAR)
    base = function(start)
    slope = (function(start + step) - base) / step
    return np.column_stack([parts * slope[:, None], base])
