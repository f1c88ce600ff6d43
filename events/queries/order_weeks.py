"""A shop's orders and refunds of the last full weeks: seven days each, the last of which is yesterday.

Each order counts by its latest version, on the day on which it was placed; a refund on its own day.
Customers who were merged count once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import ibis.expr.types as ir

from core.calendar import date_of
from events.queries.net_orders import of_persons
from events.schema import Events, latest

DAYS = 7


@dataclass(frozen=True)
class OrderWeek:
    """Seven days of a shop.

    Attributes:
        first, last: days of the shop's calendar.
        customers: who ordered. gross: paid after discounts, in currency. refunds: in currency.
    """

    first: date
    last: date
    customers: int
    orders: int
    gross: float
    refunds: float


def order_weeks(events: Events, today: int, count: int = 2) -> list[OrderWeek]:
    """The last ``count`` full weeks, the latest first.

    Args:
        events: as known today.
        today: days since 1970-01-01.

    Raises:
        PatronError: the events cannot be read.
    """
    lines, refunds = (of_persons(latest(table), events) for table in (events.order_lines, events.refunds))
    orders = lines.group_by("customer_key", "order_id").aggregate(
        day=lines.day.min(), amount=lines.amount.sum()
    )
    orders, refunds = (_within(table, today, count) for table in (orders, refunds))
    placed = orders.group_by("week").aggregate(
        customers=orders.customer_key.nunique(), orders=orders.count(), gross=orders.amount.sum()
    )
    returned = refunds.group_by("week").aggregate(refunds=refunds.amount.sum())
    by_week = {row["week"]: row for row in placed.to_pyarrow().to_pylist()}
    back = {row["week"]: float(row["refunds"]) for row in returned.to_pyarrow().to_pylist()}
    weeks = []
    for week in range(count):
        row, last = by_week.get(week, {}), today - 1 - DAYS * week
        span = date_of(last - DAYS + 1), date_of(last)
        counts = int(row.get("customers", 0)), int(row.get("orders", 0))
        weeks.append(OrderWeek(*span, *counts, float(row.get("gross", 0)), back.get(week, 0.0)))
    return weeks


def _within(table: ir.Table, today: int, count: int) -> ir.Table:
    """The rows of the last weeks, with ``week``: 0 for the latest."""
    recent = table.filter(table.day < today, table.day >= today - DAYS * count)
    return recent.mutate(week=((today - 1 - recent.day) // DAYS).cast("int64"))
