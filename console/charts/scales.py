"""Round steps for an axis, and positions on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

STEPS = (1, 2, 2.5, 5, 10)


def ticks(values: Sequence[float], count: int = 4) -> list[float]:
    """Ascending round numbers, with 0, that include all values; about ``count`` of them."""
    low, high = min(0.0, *values), max(0.0, *values)
    if high == low:
        return [0.0, 1.0]
    rough = (high - low) / count
    unit = 10 ** math.floor(math.log10(rough))
    step = next(s * unit for s in STEPS if s * unit >= rough * (1 - 1e-9))
    first, last = math.floor(low / step), math.ceil(high / step)
    return [i * step for i in range(first, last + 1)]


def position(value: float, axis: Sequence[float], start: float, end: float) -> float:
    """The coordinate of a value between those of the first and of the last tick."""
    return round(start + (end - start) * (value - axis[0]) / (axis[-1] - axis[0]), 1)
