"""Order numbers that are used again, and customers with too many orders.

A number is used again by a till that counts anew each day, or has lines of one order on several days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from events.files.orders_section import OrdersSection
from events.files.review.finding import Finding

FAR_APART_HOURS = 12
"""Lines of one customer and number that lie further apart than this were hardly ordered together."""
_SHARED = 0.05
"""Numbers are used again where more of them than this belong to several customers on several days."""


@dataclass(frozen=True)
class Repeated:
    """Order numbers of a file that one customer has far apart in time.

    Attributes:
        numbers: how many pairs of customer and number have lines far apart.
        are_other_orders: whether a number is another order on each day.
    """

    numbers: int = 0
    are_other_orders: bool = False


def repeated_numbers(connection: duckdb.DuckDBPyConnection, orders: OrdersSection) -> Repeated:
    """Decide whether an order's number is used again for other orders, over the sales of ``classified``.

    It is where the mapping says so, where customers share numbers, and where the same product is bought
    again under a number, or nothing is known of products. Otherwise the lines are parts of one order.
    """
    if orders.order is None:
        return Repeated()
    sales = "FROM classified WHERE reason IS NULL AND NOT is_return"
    row = connection.execute(
        f"""
        WITH pairs AS (SELECT customer_id, order_id, count(*) AS lines, min(day) <> max(day) AS days_differ,
                min(timestamp) AS first, max(timestamp) AS last
            {sales} GROUP BY ALL),
        numbers AS (SELECT count(*) > 1 AND max(last) - min(first) > INTERVAL {FAR_APART_HOURS} HOUR AS shared
            FROM pairs GROUP BY order_id),
        far AS (SELECT * FROM pairs WHERE last - first > INTERVAL {FAR_APART_HOURS} HOUR AND days_differ),
        products AS (SELECT customer_id, order_id, count(DISTINCT product_id) AS products
            {sales} AND (customer_id, order_id) IN (SELECT (customer_id, order_id) FROM far) GROUP BY ALL),
        apart AS (SELECT * FROM far JOIN products USING (customer_id, order_id))
        SELECT (SELECT count(*) FROM apart), (SELECT avg(shared::INT) FROM numbers),
            (SELECT count(*) FROM apart WHERE products < lines) * 2 >= (SELECT count(*) FROM apart)
        """
    ).fetchone()
    assert row is not None
    numbers, shared, bought_again = row
    if orders.order_numbers != "auto" or not numbers:
        return Repeated(numbers, orders.order_numbers == "per_day")
    return Repeated(numbers, (shared or 0) > _SHARED or bool(bought_again))


GUEST_SHARE = 0.2
"""Share of the orders from which on one customer is probably not a person."""
MIN_ORDERS = 10
"""Orders of a file below which such a share says nothing."""


def doubts(connection: duckdb.DuckDBPyConnection, repeated: Repeated) -> Iterator[Finding]:
    """Warnings of numbers that are used again, and of a customer who has a fifth of the orders or more."""
    if repeated.numbers:
        decision = "as one order; if they are several, write"
        other = "per_day"
        if repeated.are_other_orders:
            decision, other = "as one order per day; if they are one order, write", "unique"
        yield Finding(
            "order_numbers_repeated",
            repeated.numbers,
            f"order numbers that a customer has on several days: {repeated.numbers:,}; the rows of a number"
            f' count {decision} order_numbers = "{other}" in the mapping',
        )
    row = connection.execute(
        """
        WITH orders AS (SELECT customer_id, min(row_number) AS first,
                count(DISTINCT coalesce(order_id, day::VARCHAR)) AS n
            FROM classified WHERE reason IS NULL AND NOT is_return GROUP BY 1)
        SELECT max(n), sum(n), arg_max(first, n), count(*) FROM orders
        """
    ).fetchone()
    if row and row[1] and row[3] > 1 and row[1] >= MIN_ORDERS and row[0] >= GUEST_SHARE * row[1]:
        yield Finding(
            "one_customer_with_many_orders",
            int(row[0]),
            f"one customer has {row[0]:,} of the {int(row[1]):,} orders ({row[0] / row[1]:.0%}), first in row"
            f" {row[2]:,}; if the id stands for guests, leave it blank in those rows",
        )
