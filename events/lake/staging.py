"""Converts a source's events to the lake's schema and combines them with the stored ones.

Works on the DuckDB connection with the source's tables; the lake is written from the resulting tables
``keyed_order_lines`` and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from core.calendar import date_of
from core.errors import PatronError
from events.identity import Merge
from events.lake.refunds import match_refunds
from events.schema import FACTS, OWN_COLUMNS, SCHEMAS

# The statements of files and messages, before changes are filtered and refunds matched.
RAW_TABLES = ("traits", "refunds")
DUCKDB_TYPES = {"string": "VARCHAR", "timestamp(6)": "TIMESTAMP"}


def key_tables(connection: duckdb.DuckDBPyConnection, time_zone: str) -> None:
    """Create the ``keyed_`` tables, with ``customer_key`` for ``customer_id``, and the shop's ``day`` and
    ``hour``.

    Types become those of the schemas. Expects the table ``known_customers``. Lines without an order number
    become one order per customer and day.
    """
    day = local_day("t.timestamp", time_zone)
    special = {
        "customer_key": "k.customer_key",
        "day": day,
        "hour": f"hour({_local('t.timestamp', time_zone)})",
        "order_id": f"coalesce(t.order_id, k.customer_key || '-' || {day})",
    }
    for name in SCHEMAS:
        own = special if name == "order_lines" else {c: e for c, e in special.items() if c != "order_id"}
        schema = FACTS.get(name, SCHEMAS[name])
        own = own | {c: "NULL" for c in schema if c not in SCHEMAS[name]}
        columns = ", ".join(
            f"{own.get(c, f't.{c}')}::{DUCKDB_TYPES.get(dtype, dtype)} AS {c}" for c, dtype in schema.items()
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE keyed_{name} AS SELECT {columns}"
            f" FROM {name} t JOIN known_customers k USING (customer_id)"
        )


def local_day(moment: str, time_zone: str) -> str:
    """The shop's day of a moment (UTC), as SQL: days since 1970-01-01."""
    return f"({_local(moment, time_zone)}::DATE - DATE '1970-01-01')"


def _local(moment: str, time_zone: str) -> str:
    return f"timezone('{time_zone}', timezone('UTC', {moment}))"


def own_order(table: str) -> str:
    """An order's number within its customer, as SQL: without a customer key that stands in for a missing
    number.
    """
    order, key = f"{table}.order_id", f"{table}.customer_key::VARCHAR"
    without = f"substr({order}, length({key}) + 1)"
    return f"CASE WHEN starts_with({order}, {key} || '-') THEN {without} ELSE {order} END"


def raw_table(name: str) -> str:
    """The table of the unfiltered statements of a table in ``RAW_TABLES``."""
    return f"told_{name}"


def add_missing(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the event tables that a source lacks, empty."""
    for name, schema in SCHEMAS.items():
        columns_of = {"customer_id": "string"} | {c: t for c, t in schema.items() if c not in OWN_COLUMNS}
        columns = ", ".join(f"{c} {DUCKDB_TYPES.get(dtype, dtype)}" for c, dtype in columns_of.items())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")


def know_owners(connection: duckdb.DuckDBPyConnection, merges: Sequence[Merge]) -> None:
    """Create the table ``owners``: the final customer of each merged customer."""
    final = {merge.customer_key: merge.into for merge in merges}  # the latest merge comes last
    table = {"customer_key": pa.array(final, "int64"), "owner": pa.array(final.values(), "int64")}
    connection.register("owners", pa.table(table))


def keep_raw(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Keep the unfiltered statements in separate tables, since a later file may fill gaps between them.

    Returns:
        The tables' names without ``keyed_``.
    """
    for name in RAW_TABLES:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE keyed_{raw_table(name)} AS FROM keyed_{name}")
    return [raw_table(name) for name in RAW_TABLES]


def name_returns(connection: duckdb.DuckDBPyConnection) -> None:
    """Treat the number of a return in a file as its order's number if the customer has such an order.

    Other numbers identify the return itself, such as a credit note. Expects the table ``owners``.
    """
    connection.execute(
        f"""
        UPDATE keyed_refunds SET order_id = NULL WHERE rowid IN (
            WITH named AS (
                SELECT r.rowid AS place, coalesce(o.owner, r.customer_key) AS owner,
                    {own_order("r")} AS nth_order
                FROM keyed_refunds r LEFT JOIN owners o USING (customer_key)
                WHERE r.order_id IS NOT NULL AND NOT r.matched AND r.version IS NULL)
            SELECT place FROM named ANTI JOIN (
                SELECT coalesce(o.owner, l.customer_key) AS owner, {own_order("l")} AS nth_order
                FROM keyed_order_lines l LEFT JOIN owners o USING (customer_key)) USING (owner, nth_order))
        """
    )


def keep_changes(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove from ``keyed_traits`` the statements that changed nothing at their time."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE keyed_traits AS FROM keyed_{raw_table("traits")}
        WINDOW told_before AS (PARTITION BY customer_key, name ORDER BY timestamp, value)
        QUALIFY value IS DISTINCT FROM lag(value) OVER told_before
            OR received_at < lag(received_at) OVER told_before
        """
    )


def match_returns(connection: duckdb.DuckDBPyConnection) -> int:
    """Set the order of each refund in ``keyed_refunds``; return the number of refunds without one.

    All refunds are matched again, so that the order of imports does not matter; a refund that names an order
    keeps it. Only orders of current versions match. Expects the table ``owners`` and the result of
    :func:`events.lake.settling.settle`.
    """
    connection.execute(
        """
        CREATE OR REPLACE TEMP VIEW valid_lines AS
        SELECT customer_key, timestamp, order_id, product_id, quantity FROM keyed_order_lines
        ANTI JOIN complex_orders USING (customer_key, order_id)
        UNION ALL SELECT customer_key, timestamp, order_id, product_id, quantity FROM settled_order_lines
        WHERE replaced_at IS NULL
        """
    )
    owned = "SELECT t.*, {1} AS place, coalesce(o.owner, t.customer_key) AS owner FROM {0} t"
    owned += " LEFT JOIN owners o USING (customer_key)"
    lines = connection.execute(
        f"""
        WITH lines AS ({owned.format("valid_lines", -1)}),
        returns AS ({owned.format("keyed_refunds", "t.rowid")}),
        pairs AS (SELECT DISTINCT owner, product_id FROM returns)
        SELECT owner, product_id, timestamp, place, order_id, quantity, is_return FROM (
        SELECT timestamp, false AS is_return, order_id, quantity, 0 AS amount, NULL AS received_at,
            NULL AS category, -1 AS place, owner, product_id
        FROM lines l WHERE EXISTS (FROM pairs p WHERE p.owner = l.owner
            AND p.product_id IS NOT DISTINCT FROM l.product_id)
        UNION ALL
        SELECT timestamp, true, coalesce(order_id, ''), quantity, amount, received_at, category, place, owner,
            product_id
        FROM returns r
        ) ORDER BY timestamp, is_return, order_id, quantity, amount, received_at, category, place
        """
    ).fetchall()
    matched = match_refunds(lines)
    connection.register(
        "matched_refunds",
        pa.table(
            {"place": pa.array(list(matched), "int64"), "bought_in": pa.array(matched.values(), "string")}
        ),
    )
    connection.execute(
        "UPDATE keyed_refunds SET order_id = bought_in, matched = bought_in IS NOT NULL"
        " FROM matched_refunds WHERE place = keyed_refunds.rowid"
    )
    return sum(order is None for order in matched.values())


def need_orders(connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse a first import without orders.

    Raises:
        PatronError: there are no orders.
    """
    if connection.execute("SELECT 1 FROM order_lines LIMIT 1").fetchone() is None:
        raise PatronError("there is no order among the events; nothing was changed. Import orders first")


def span(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The number of orders, their first day, and the last day of orders and refunds; see :func:`days`."""
    row = connection.execute(
        "SELECT count(DISTINCT order_id), min(day), greatest(max(day), (SELECT max(day) FROM keyed_refunds))"
        " FROM keyed_order_lines"
    ).fetchall()
    return days(*row[0])


def days(orders: int, first_day: int | None, last_day: int | None) -> dict[str, Any]:
    """The fields of a lake's metadata about its orders; without orders the days are None."""
    fields = {"first_day": first_day, "last_day": last_day, "orders": orders}
    dates = {"from": first_day, "to": last_day}
    return fields | {n: None if day is None else date_of(day).isoformat() for n, day in dates.items()}
