"""A source's events brought into the lake's form, and together with those that are there.

Works on the DuckDB connection that holds the source's tables: ``keyed_order_lines`` and so on are
what the lake is written from.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from features.errors import PatronError
from features.events import SCHEMAS
from features.sources.refunds import match_refunds

_DUCKDB_TYPES = {"string": "VARCHAR", "timestamp(6)": "TIMESTAMP"}
# Rows equal in these are the same event, told again by a file that overlaps an earlier one.
_IDENTITY = {
    "order_lines": ("customer_key", "timestamp", "order_id", "product_id", "quantity", "amount"),
    "refunds": ("customer_key", "timestamp", "product_id", "quantity", "amount"),
    "traits": ("customer_key", "timestamp", "name", "value"),
}


def key_tables(connection: duckdb.DuckDBPyConnection, time_zone: str) -> None:
    """Make the ``keyed_`` tables: ``customer_key`` for ``customer_id``, the shop's ``day``, exact types.

    Expects the table ``known_customers``. An order without a number becomes one order per
    customer and day.
    """
    day = f"(timezone('{time_zone}', timezone('UTC', t.timestamp))::DATE - DATE '1970-01-01')"
    special = {
        "customer_key": "k.customer_key",
        "day": day,
        "order_id": f"coalesce(t.order_id, k.customer_key || '-' || {day})",
    }
    for name, schema in SCHEMAS.items():
        own = special if name == "order_lines" else {c: e for c, e in special.items() if c != "order_id"}
        columns = ", ".join(
            f"{own.get(c, f't.{c}')}::{_DUCKDB_TYPES.get(dtype, dtype)} AS {c}" for c, dtype in schema.items()
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE keyed_{name} AS SELECT {columns}"
            f" FROM {name} t JOIN known_customers k USING (customer_id)"
        )


def merge_with(connection: duckdb.DuckDBPyConnection, events: Path) -> dict[str, int]:
    """Add the lake's events to the ``keyed_`` tables; an event that is there already stays once.

    Of events that a file truly holds n times, the larger n of the two counts.

    Returns:
        How many events of each table were new.
    """
    new: dict[str, int] = {}
    for name, identity in _IDENTITY.items():
        same = " AND ".join(f"n.{c} IS NOT DISTINCT FROM o.{c}" for c in (*identity, "copy"))
        copies = f"row_number() OVER (PARTITION BY {', '.join(identity)}) AS copy"
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE there AS SELECT *, {copies}
            FROM read_parquet('{_escaped(events / name)}/*/*.parquet', hive_partitioning = false);
            CREATE OR REPLACE TEMP TABLE news AS SELECT * EXCLUDE (copy) FROM (
                SELECT *, {copies} FROM keyed_{name}) n ANTI JOIN there o ON {same};
            CREATE OR REPLACE TEMP TABLE keyed_{name} AS
                SELECT * EXCLUDE (copy) FROM there UNION ALL BY NAME SELECT * FROM news
            """
        )
        row = connection.execute("SELECT count(*) FROM news").fetchone()
        new[name] = int(row[0]) if row else 0
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE keyed_traits AS SELECT * FROM keyed_traits QUALIFY value IS DISTINCT FROM"
        " lag(value) OVER (PARTITION BY customer_key, name ORDER BY timestamp, value)"
    )
    return new


def match_returns(connection: duckdb.DuckDBPyConnection) -> int:
    """Say in ``keyed_refunds`` which order each refund takes back; return how many take back none.

    All of them anew, so that it does not matter in which order files were imported.
    """
    pairs = "SELECT DISTINCT customer_key, product_id FROM keyed_refunds"
    lines = connection.execute(
        f"""
        SELECT customer_key, product_id, timestamp, -1 AS place, order_id, quantity, false AS is_return
        FROM keyed_order_lines l WHERE EXISTS (FROM ({pairs}) p WHERE p.customer_key = l.customer_key
            AND p.product_id IS NOT DISTINCT FROM l.product_id)
        UNION ALL
        SELECT customer_key, product_id, timestamp, rowid, '', quantity, true FROM keyed_refunds
        ORDER BY timestamp, is_return, order_id, quantity, place
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


def span(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    """The orders' number, their first day, and the last day of orders and refunds.

    Raises:
        PatronError: there is no order.
    """
    row = connection.execute(
        "SELECT count(DISTINCT order_id), min(day), greatest(max(day), (SELECT max(day) FROM keyed_refunds))"
        " FROM keyed_order_lines"
    ).fetchone()
    if row is None or not row[0]:
        raise PatronError("there is no order among the events; nothing was changed")
    return int(row[0]), int(row[1]), int(row[2])


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
