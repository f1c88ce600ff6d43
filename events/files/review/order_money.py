"""What only the lake knows of an imported file: orders that were stated before, and refunds beyond orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from events.files.review.finding import Finding


def doubts(record: Mapping[str, Any], currency: str) -> Iterator[Finding]:
    """Warnings of what an import made of the orders.

    Args:
        record: what ``import.json`` has of the import.
        currency: the shop's.
    """
    if count := record.get("orders_united", 0):
        yield Finding(
            "orders_united",
            count,
            f"orders with other lines than imported before, of which the file may not have all: {count:,};"
            " the lines of both count. Export whole orders if some of them were removed",
        )
    if count := record.get("surplus_orders", 0):
        yield Finding(
            "refunds_beyond_orders",
            count,
            f"orders of which more is given back than they brought: {count:,}, by"
            f" {record['surplus']:,.2f} {currency} together, which does not count. Compare their refunds with"
            " the books",
        )
