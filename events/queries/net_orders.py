"""Orders with what is left of them after refunds, by person.

An order counts by its latest version. Customers who were merged count once, under the key that remains.
"""

from __future__ import annotations

from datetime import datetime

import ibis
import ibis.expr.types as ir
import pandas as pd

from events.schema import Events, latest

COLUMNS = ("customer_key", "order_id", "at", "day", "paid", "discount", "refunded")


def net_orders(events: Events, since: datetime) -> pd.DataFrame:
    """The orders that were placed from ``since`` on.

    Args:
        events: as known at a moment; see :meth:`events.schema.Events.known_at`.

    Returns:
        ``customer_key``, ``order_id``, ``at`` (UTC, without a zone), the shop's ``day``, and in currency
        ``paid`` (after the discount), ``discount`` (0 if unknown) and ``refunded`` (at most ``paid``), by
        customer and time.
    """
    lines, refunds = (of_persons(latest(table), events) for table in (events.order_lines, events.refunds))
    orders = lines.group_by("customer_key", "order_id").aggregate(
        at=lines.timestamp.min(),
        day=lines.day.min(),
        paid=lines.amount.sum().cast("float64"),
        discount=lines.discount.sum().cast("float64"),
    )
    orders = orders.filter(orders["at"] >= ibis.literal(since.replace(tzinfo=None), "timestamp(6)"))
    back = refunds.group_by("customer_key", "order_id").aggregate(back=refunds.amount.sum().cast("float64"))
    joined = orders.left_join(back, ["customer_key", "order_id"])
    refunded = ibis.least(ibis.coalesce(joined.back, 0.0), joined.paid)
    result = joined.mutate(discount=ibis.coalesce(joined.discount, 0.0), refunded=refunded)
    frame: pd.DataFrame = result.select(*COLUMNS).order_by("customer_key", "at", "order_id").to_pandas()
    return frame


def of_persons(table: ir.Table, events: Events) -> ir.Table:
    """A table without the rows under the keys of merged customers, which the other's key has as well."""
    return table if events.merges is None else table.anti_join(events.merges, "customer_key")
