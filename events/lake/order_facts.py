"""What is stated about an order: lines of versions, refunds and cancellations; and what it comes to."""

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
    """An order as rows of the lake.

    Attributes:
        lines: rows with the columns of ``STORED``, the validity at the end.
        refunds: likewise.
        plain: whether the rows say all that was stated, so that nothing else needs to be stored.
        surplus: what was given back beyond what the order brings.
        waiting: how many refunds wait for the order.
        versions: how many versions there are.
        cancelled: whether the order is cancelled.
    """

    lines: list[tuple[Any, ...]]
    refunds: list[tuple[Any, ...]]
    plain: bool
    surplus: Decimal
    waiting: int
    versions: int
    cancelled: bool
