"""Facts about an order (lines of versions, refunds, cancellations), and the order resolved from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple


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
