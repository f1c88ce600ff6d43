"""Which order a return takes back."""

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
    """Find the order that each return takes back.

    Args:
        lines: (customer, product, time, row number, order, quantity, is a return), by time; of a return
            the order that it says it takes back, or nothing.

    Returns:
        For each return's row number the order that it said, or that of the latest earlier line of the same
        customer and product that still has the quantity unreturned; None where there is none.
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
