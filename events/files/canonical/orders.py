"""``classified`` rows of orders → ``order_lines`` and ``refunds``.

What is said of a whole order (its total, its discount, money given back) is divided among its lines in
proportion to their worth, so that the lines add up to it exactly.
"""

from __future__ import annotations

import duckdb

from core.storage import sql
from events.files.orders_section import OrdersSection
from events.files.reader import raw_column

_CENTS = 4
"""Decimal places of the canonical amounts."""
# Weighed and measured goods are one piece, however much it weighs.
_PIECES = (
    "(CASE WHEN abs(quantity - round(quantity)) < 1e-9 THEN round(abs(quantity)) ELSE 1 END)::BIGINT"
    " AS quantity"
)


def make_tables(
    connection: duckdb.DuckDBPyConnection, orders: OrdersSection, repeated_numbers: bool
) -> dict[str, int]:
    """Make ``order_lines`` and ``refunds``.

    Args:
        repeated_numbers: whether an order's number stands for another order on each day.

    Returns:
        Counts of what else became of the rows: sales that were refunded, and refunds that exceed them.
    """
    connection.execute(
        f"""
        CREATE TABLE sales AS
        WITH accepted AS (SELECT *, {_order_key(orders, repeated_numbers)} AS order_key FROM classified
            WHERE reason IS NULL AND NOT is_return),
        {_divided(orders)}
        SELECT customer_id, timestamp, received_at, refunded_at, order_key,
            coalesce(order_key, day::VARCHAR) AS within, product_id,
            event_category AS category, {_PIECES}, round(net, {_CENTS}) AS amount,
            round(off + greatest(0, total - net), {_CENTS}) AS discount, is_refunded, refunded_amount,
            order_refunded
        FROM divided
        """
    )
    connection.execute(
        "CREATE TABLE order_lines AS SELECT customer_id, timestamp, received_at, order_key AS order_id,"
        " product_id, category, quantity, amount, discount FROM sales"
    )
    notes = _refunds(connection, orders, repeated_numbers)
    connection.execute("DROP TABLE sales")
    return {name: count for name, count in notes.items() if count}


def make_empty(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``order_lines`` and ``refunds`` of a mapping without orders."""
    empty = "NULL::VARCHAR AS order_id, NULL::VARCHAR AS product_id, NULL::VARCHAR AS category"
    start = f"SELECT customer_id, timestamp, received_at, {empty}, 0 AS quantity, 0 AS amount"
    connection.execute(f"CREATE TABLE order_lines AS {start}, 0 AS discount FROM classified LIMIT 0")
    connection.execute(f"CREATE TABLE refunds AS {start}, false AS matched FROM classified LIMIT 0")


def _order_key(orders: OrdersSection, repeated_numbers: bool) -> str:
    """What tells a customer's orders apart; NULL where it is the day."""
    if orders.orders_by == "row":
        columns = ", ".join(map(raw_column, orders.columns()))
        copy = f"row_number() OVER (PARTITION BY {columns} ORDER BY row_number)"
        texts = ", ".join(f"coalesce({raw_column(c)}::VARCHAR, '')" for c in orders.columns())
        return f"'row ' || substr(md5(concat_ws('|', {texts}, {copy})), 1, 16)"
    return "order_id || ' of ' || (DATE '1970-01-01' + day::INT)::VARCHAR" if repeated_numbers else "order_id"


def _order_net(orders: OrdersSection) -> str:
    """What an order brought, by its own columns, as SQL over the window ``o``; NULL without any."""
    net = "NULL::DOUBLE"
    if orders.order_discount:
        net = sql.not_below_zero("sum(total) OVER o - max(order_discount) OVER o")
    if orders.order_total:
        parts = [f"coalesce(max({role}) OVER o, 0)" for role in ("order_tax", "order_shipping")]
        paid = sql.not_below_zero(f"max(order_total) OVER o - {' - '.join(parts)}")
        net = f"coalesce({paid}, {net})"
    return net


def _divided(orders: OrdersSection) -> str:
    """The lines' shares of what their order brought, as a CTE."""
    if not (orders.order_discount or orders.order_total):
        return "divided AS (SELECT *, abs(total) AS net FROM accepted)"
    share = "CASE WHEN order_sum > 0 THEN total / order_sum ELSE 1 / order_rows END"
    order = "PARTITION BY customer_id, coalesce(order_key, day::VARCHAR)"
    line = f"({order} ORDER BY row_number)"
    return f"""
        summed AS (SELECT *, sum(total) OVER o AS order_sum, count(*) OVER o AS order_rows,
            {_order_net(orders)} AS order_net FROM accepted WINDOW o AS ({order})),
        shared AS (SELECT *, sum({share}) OVER {line} AS up_to_here FROM summed),
        rounded AS (SELECT *, round(order_net * least(1, round(up_to_here, 12)), {_CENTS}) AS paid_up_to_here
            FROM shared),
        divided AS (SELECT *, CASE WHEN order_net IS NULL THEN abs(total)
            ELSE paid_up_to_here - coalesce(lag(paid_up_to_here) OVER {line}, 0) END AS net FROM rounded)"""


def _refunds(
    connection: duckdb.DuckDBPyConnection, orders: OrdersSection, repeated_numbers: bool
) -> dict[str, int]:
    """Make ``refunds``: of rows that take something back, and of sales that were refunded.

    The number of a row that takes something back may be that of the order, or its own; the lake knows.
    """
    columns = "customer_id, timestamp, received_at, product_id, category, quantity, amount, order_id, matched"
    named = "order_id" if orders.order and not repeated_numbers else "NULL::VARCHAR"
    connection.execute(
        f"CREATE TABLE refunds AS SELECT customer_id, timestamp, received_at, product_id,"
        f" event_category AS category, {_PIECES}, round(abs(total), {_CENTS}) AS amount,"
        f" {named} AS order_id, false AS matched FROM classified WHERE reason IS NULL AND is_return"
    )
    line_back = (
        "CASE WHEN refunded_amount > 0 THEN least(refunded_amount, amount) WHEN is_refunded THEN amount END"
    )
    late = "greatest(timestamp, refunded_at)"
    connection.execute(
        f"""
        CREATE TABLE given_back AS
        WITH lines AS (SELECT *, {line_back} AS back FROM sales)
        SELECT customer_id, {late} AS timestamp, greatest(received_at, refunded_at) AS received_at,
            product_id, category, quantity, back AS amount, order_key AS order_id, false AS matched,
            greatest(0, coalesce(refunded_amount, 0) - amount) AS surplus
        FROM lines WHERE back > 0
        UNION ALL
        SELECT customer_id, max({late}), max(greatest(received_at, refunded_at)), NULL, NULL, 0,
            least(max(order_refunded), sum(amount) - sum(coalesce(back, 0))), any_value(order_key), false,
            greatest(0, max(order_refunded) - (sum(amount) - sum(coalesce(back, 0))))
        FROM lines GROUP BY customer_id, within
        HAVING max(order_refunded) > 0 AND sum(amount) > sum(coalesce(back, 0))
        """
    )
    connection.execute(f"INSERT INTO refunds BY NAME SELECT {columns} FROM given_back")
    row = connection.execute(
        "SELECT count(*), count(*) FILTER (surplus > 0.00005) FROM given_back"
    ).fetchone()
    connection.execute("DROP TABLE given_back")
    assert row is not None
    return {"sales_refunded": row[0], "refunds_above_the_sale": row[1]}
