"""The summary of an import by month, to compare with the shop's books."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from events.lake import staging


@dataclass(frozen=True)
class Month:
    """What a file says of one month of the shop.

    Attributes:
        month: such as ``2024-03``; an order belongs to the month of its first line.
        orders, lines: sales, also those that were refunded.
        gross: worth of the lines before discounts.
        discounts, refunds: what was taken off the lines, and what was given back in the month.
        net: ``gross`` less ``discounts`` and ``refunds``.
        customers: those with an order or a refund.
    """

    month: str
    orders: int
    lines: int
    gross: float
    discounts: float
    refunds: float
    net: float
    customers: int


def summary(connection: duckdb.DuckDBPyConnection, time_zone: str) -> list[Month]:
    """The months of ``order_lines`` and ``refunds``, in order; those without either are left out."""
    month = "strftime(DATE '1970-01-01' + {}::INT, '%Y-%m')"
    rows = connection.execute(
        f"""
        WITH lines AS (SELECT *, {staging.local_day("timestamp", time_zone)} AS day FROM order_lines),
        orders AS (SELECT customer_id, min(day) AS day, count(*) AS lines,
            sum(amount::DECIMAL(18, 4)) AS paid, sum(discount::DECIMAL(18, 4)) AS discounts FROM lines
            GROUP BY customer_id, coalesce(order_id, day::VARCHAR)),
        events AS (
            SELECT {month.format("day")} AS month, customer_id, 1 AS orders, lines, paid, discounts,
                0 AS refunds FROM orders UNION ALL
            SELECT {month.format(staging.local_day("timestamp", time_zone))}, customer_id, 0, 0, 0, 0,
                amount::DECIMAL(18, 4) FROM refunds)
        SELECT month, sum(orders), sum(lines), sum(paid), sum(discounts), sum(refunds),
            count(DISTINCT customer_id)
        FROM events GROUP BY month ORDER BY month
        """
    ).fetchall()
    return [
        Month(
            month=month,
            orders=int(orders),
            lines=int(lines),
            gross=round(float(paid + discounts), 2),
            discounts=round(float(discounts), 2),
            refunds=round(float(refunds), 2),
            net=round(float(paid - refunds), 2),
            customers=customers,
        )
        for month, orders, lines, paid, discounts, refunds, customers in rows
    ]


def as_lines(months: list[dict[str, Any]]) -> list[str]:
    """The summary as a table for people, with a last line of the totals."""
    if not months:
        return []
    names = ("orders", "lines", "gross", "discounts", "refunds", "net", "customers")
    head = "month    " + "".join(f"{name:>15}" for name in names)
    rows = [f"{m['month']:<9}" + "".join(_cell(m[name]) for name in names) for m in months]
    total = {name: sum(m[name] for m in months) for name in names[:-1]}
    return [head, *rows, f"{'total':<9}" + "".join(_cell(total[name]) for name in names[:-1])]


def _cell(value: float) -> str:
    return f"{value:>15,.2f}" if isinstance(value, float) else f"{value:>15,}"
