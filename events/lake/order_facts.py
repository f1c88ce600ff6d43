"""Facts about an order (lines of versions, refunds, cancellations), and the order resolved from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

MAX_VERSIONS = 500
"""How many of an order's first versions and how many of its last ones are kept, each. Those in between are
passed over, so that corrections without end take bounded time and memory."""


class LineFact(NamedTuple):
    """A line of a version, with the columns of ``FACTS``."""

    customer_key: int
    timestamp: datetime
    received_at: datetime
    day: int
    order_id: str
    product_id: str | None
    category: str | None
    quantity: Any
    amount: Decimal
    discount: Decimal | None
    stated_at: datetime | None
    version: int | None
    updated: bool | None


class RefundFact(NamedTuple):
    """A refund or a part of a cancellation, with the columns of ``FACTS``."""

    customer_key: int
    timestamp: datetime
    received_at: datetime
    day: int
    order_id: str
    product_id: str | None
    category: str | None
    quantity: Any
    amount: Decimal | None
    matched: bool | None
    version: int | None
    cancelled: bool | None


@dataclass
class OrderMoney:
    """An order resolved to rows of the lake.

    Attributes:
        lines: rows with the columns of ``STORED``, the validity last.
        refunds: likewise.
        plain: whether the rows contain all facts, so that nothing else must be stored.
        surplus: the amount refunded beyond the order's value.
        waiting: the number of refunds that wait for the order.
        versions: the number of versions.
        cancelled: whether the order is cancelled.
    """

    lines: list[tuple[Any, ...]]
    refunds: list[tuple[Any, ...]]
    plain: bool
    surplus: Decimal
    waiting: int
    versions: int
    cancelled: bool


@dataclass
class Version:
    """A version of an order; of two the one with the higher rank was stated later."""

    lines: list[LineFact]

    def __post_init__(self) -> None:
        first = self.lines[0]
        self.updated = bool(first.updated)
        self.known_at = min(line.received_at for line in self.lines)
        self.placed = min((line.timestamp, line.day) for line in self.lines)
        self.number = first.version or 0
        self.rank = (first.stated_at or self.placed[0], self.updated, self.number)
        self.amount = sum((line.amount for line in self.lines), Decimal(0))


def versions_of(lines: Iterable[LineFact]) -> list[Version]:
    """The versions that lines belong to."""
    by_version: dict[tuple[Any, ...], list[LineFact]] = {}
    for line in lines:
        by_version.setdefault((line.stated_at, line.version, bool(line.updated)), []).append(line)
    # Lines from the lake without a number are together the first version.
    return [Version(group) for group in by_version.values()]


def limit_versions(lines: list[LineFact]) -> list[LineFact]:
    """The lines without the versions that ``MAX_VERSIONS`` passes over.

    What the order comes to now and after any further fact is the same: the first ``Order Completed``, the
    version that counts and the one of the earliest time are among those that stay.
    """
    if len(lines) <= 2 * MAX_VERSIONS:
        return lines
    versions = sorted(versions_of(lines), key=lambda version: (version.known_at, version.number))
    if len(versions) <= 2 * MAX_VERSIONS:
        return lines
    first = min((v for v in versions if not v.updated), key=lambda version: version.rank, default=None)
    counting = max((v for v in versions if v is not first), key=lambda version: version.rank)
    earliest = min(versions, key=lambda version: version.placed)
    ends = [*versions[:MAX_VERSIONS], *versions[-MAX_VERSIONS:]]
    chosen = {id(v): v for v in (*ends, counting, earliest, *([first] if first else []))}
    return [line for version in chosen.values() for line in version.lines]
