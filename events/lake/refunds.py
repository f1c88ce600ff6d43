"""Matching returns with the orders they belong to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class _OpenLine:
    time: datetime
    order: str
    left: int


def match_refunds(
    lines: Iterable[tuple[str | int, str | None, datetime, int, str, int, bool]],
) -> dict[int, str | None]:
    """Find the order of each return.

    Args:
        lines: (customer, product, time, row number, order, quantity, is a return), by time; for a return,
            the order that it names, or an empty text.

    Returns:
        For each return's row number the order that it names, or else that of the latest earlier line of the
        same customer and product with enough quantity not yet returned; None if there is none.
    """
    open_lines: dict[tuple[str | int, str | None], list[_OpenLine]] = defaultdict(list)
    matches: dict[int, str | None] = {}
    for customer, product, time, row_number, order, quantity, is_return in lines:
        candidates = open_lines[customer, product]
        if not is_return:
            candidates.append(_OpenLine(time, order, quantity))
            continue
        matches[row_number] = order or None
        for line in reversed(candidates):
            if line.order == order or (not order and line.time < time and line.left >= quantity):
                line.left -= quantity
                matches[row_number] = line.order
                break
    return matches
