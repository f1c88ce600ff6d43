"""Bins: the intervals of a number, or the values of a text, into which customers are counted.

:mod:`models.measures.reference` chooses them, and :mod:`models.measures.bin_counts` counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_NUMBER = float(np.finfo(np.float64).max)
_DIGITS = 6  # engines and stores differ in the remaining digits, which must not break ties


def to_significant(values: Array) -> Array:
    """The values to ``_DIGITS`` significant digits; missing and infinite ones are NaN."""
    size = np.abs(values)
    usual = np.isfinite(values) & (size > 1e-290)
    scale = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.where(usual, size, 1.0))))
    rounded = np.round(np.where(usual, values, 0.0) * scale) / scale
    return np.where(np.isfinite(values), rounded, np.nan)


def cuts_of(spec: Mapping[str, Any]) -> Array:
    """The upper bounds of all bins but the last; each bin includes its upper bound."""
    below = np.nextafter(np.array(spec["ties"], dtype=np.float64), -np.inf)
    return np.union1d(np.array(spec["edges"], dtype=np.float64), below)


def thresholds(spec: Mapping[str, Any]) -> Array:
    """The largest number of each bin but the last, before it is rounded by :func:`to_significant`.

    So an engine that compares numbers with them counts in the same bin as one that rounds them first.
    """
    cuts = cuts_of(spec)
    low, high = (np.full(len(cuts), _ordinal(bound)) for bound in (-MAX_NUMBER, MAX_NUMBER))
    while (low < high).any():
        # The middle, rounded up; the sum of two of these integers would overflow.
        middle = high - ((high - low).astype(np.uint64) // 2).astype(np.int64)
        inside = to_significant(_number(middle)) <= cuts
        low, high = np.where(inside, middle, low), np.where(inside, high, middle - 1)
    return _number(low)


def _ordinal(number: float) -> np.int64:
    """The position of a number among all of its type: a larger number has a larger one."""
    bits = np.float64(number).view(np.int64)
    return bits if bits >= 0 else np.iinfo(np.int64).min - bits


def _number(ordinals: NDArray[np.int64]) -> Array:
    bits = np.where(ordinals >= 0, ordinals, np.iinfo(np.int64).min - ordinals)
    return bits.view(np.float64)


@dataclass(frozen=True)
class Bin:
    """A bin: the numbers above ``low`` up to ``high``, one number if they are equal, or a text.

    Attributes:
        low, high: None where the bin has no bound.
        text: of a bin of a text; None for numbers, and for the bin of all other texts.
    """

    low: float | None = None
    high: float | None = None
    text: str | None = None

    @property
    def is_number(self) -> bool:
        """Whether the bin is of a single number."""
        return self.low is not None and self.low == self.high


def bins_of(spec: Mapping[str, Any]) -> list[Bin]:
    """The bins in the order of their shares, without that of missing values."""
    if spec["kind"] != "number":
        return [*(Bin(text=text) for text in spec["values"]), Bin()]
    cuts: list[float] = cuts_of(spec).tolist()
    bounds = [None, *cuts, None]
    return [Bin(high, high) if high in spec["ties"] else Bin(low, high) for low, high in pairwise(bounds)]


def bin_names(spec: Mapping[str, Any]) -> list[str]:
    """The name of each bin, without that of missing values."""
    bins = bins_of(spec)
    if spec["kind"] != "number":
        return [*(repr(b.text) for b in bins[:-1]), "other values"]
    names = [_name_of(b) for b in bins]
    if len(bins) > 1 and bins[1].is_number:
        names[0] = f"below {_plain(bins[1].high or 0.0)}"
    return names


def _name_of(of: Bin) -> str:
    if of.is_number:
        return f"exactly {_plain(of.high or 0.0)}"
    if of.low is None:
        return "any value" if of.high is None else f"up to {_plain(of.high)}"
    return f"above {_plain(of.low)}" if of.high is None else f"{_plain(of.low)}..{_plain(of.high)}"


def _plain(value: float) -> str:
    if abs(value) < 1e-290:  # the cut just below ties at 0
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
