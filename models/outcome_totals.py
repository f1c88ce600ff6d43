"""Totals of an outcome over past windows, from which the level of the next window is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OutcomeTotals:
    """Totals of an outcome over windows of the horizon's length, in the label's unit.

    Days are counted from 1970-01-01. Only windows are contained that the history covers.

    Attributes:
        before: for a moment's day, the total of its eligible customers in the window that ends there.
        shop: for a window's first day, the total of all customers of the shop.
    """

    before: Mapping[int, float]
    shop: Mapping[int, float]
