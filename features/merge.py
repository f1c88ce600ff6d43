"""A source's events brought into the lake's form, and together with those that are there.

Works on the DuckDB connection that holds the source's tables: ``keyed_order_lines`` and so on are
what the lake is written from.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from features.errors import PatronError
from features.events import OWN_COLUMNS, SCHEMAS
from features.sources.refunds import match_refunds

TOLD = "told"
_DUCKDB_TYPES = {"string": "VARCHAR", "timestamp(6)": "TIMESTAMP"}
# Rows equal in these are the same event, told again by a file that overlaps an earlier one.
_IDENTITY = {
    "order_lines": ("customer_key", "timestamp", "order_id", "product_id", "quantity", "amount"),
    "refunds": ("customer_key", "timestamp", "product_id", "quantity", "amount"),
    "traits": ("customer_key", "timestamp", "name", "value"),
    "activities": ("customer_key", "timestamp", "name", "channel", "reference", "product_id", "properties"),
}


def key_tables(connection: duckdb.DuckDBPyConnection, time_zone: str) -> None:
    """Make the ``keyed_`` tables: ``customer_key`` for ``customer_id``, the shop's ``day`` and ``hour``.

    Types become those of the schemas.

    Expects the table ``known_customers``. An order without a number becomes one order per
    customer and day.
    """
    local = f"timezone('{time_zone}', timezone('UTC', t.timestamp))"
    day = f"({local}::DATE - DATE '1970-01-01')"
    special = {
        "customer_key": "k.customer_key",
        "day": day,
        "hour": f"hour({local})",
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


def add_missing(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the event tables that a source does not have, empty."""
    for name, schema in SCHEMAS.items():
        told = {"customer_id": "string"} | {c: t for c, t in schema.items() if c not in OWN_COLUMNS}
        columns = ", ".join(f"{c} {_DUCKDB_TYPES.get(dtype, dtype)}" for c, dtype in told.items())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")


def merge_with(connection: duckdb.DuckDBPyConnection, events: Path) -> dict[str, int]:
    """Add the lake's events to the ``keyed_`` tables; an event that is there already stays once.

    Of events that a file truly holds n times, the larger n of the two counts. Where two files tell
    an event differently, the earlier ``received_at`` counts, and the category that sorts first:
    it does not matter which file came first.

    Returns:
        How many events of each table were new; of traits, how many times something was told.
    """
    new: dict[str, int] = {}
    for name, identity in _IDENTITY.items():
        same = ", ".join(identity)
        further = [c for c in SCHEMAS[name] if c not in identity]
        told_by = ", ".join(c for c in further if c in ("received_at", "category", "discount"))
        copies = f"row_number() OVER (PARTITION BY {same} ORDER BY {told_by}) AS copy"
        columns = ", ".join(f"min({c}) AS {c}" if c in further else c for c in SCHEMAS[name])
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE there AS
                FROM read_parquet('{_escaped(_written(events, name))}', hive_partitioning = false);
            CREATE OR REPLACE TEMP TABLE keyed_{name} AS SELECT {columns} FROM (
                SELECT *, {copies} FROM there UNION ALL BY NAME SELECT *, {copies} FROM keyed_{name})
            GROUP BY {same}, copy
            """
        )
        row = connection.execute(
            f"SELECT (SELECT count(*) FROM keyed_{name}) - (SELECT count(*) FROM there)"
        ).fetchone()
        new[name] = int(row[0]) if row else 0
    return new


def _written(events: Path, name: str) -> Path:
    told = events / f"{TOLD}.parquet"
    return told if name == "traits" and told.exists() else events / name / "*" / "*.parquet"


def keep_news(connection: duckdb.DuckDBPyConnection) -> None:
    """Leave in ``keyed_traits`` what was new or changed when it was told; ``told`` keeps all of it.

    A later import may tell of a change in between, and what is repeated now is news again then.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {TOLD} AS FROM keyed_traits;
        CREATE OR REPLACE TEMP TABLE keyed_traits AS FROM {TOLD}
        WINDOW told_before AS (PARTITION BY customer_key, name ORDER BY timestamp, value)
        QUALIFY value IS DISTINCT FROM lag(value) OVER told_before
            OR received_at < lag(received_at) OVER told_before
        """
    )


def match_returns(connection: duckdb.DuckDBPyConnection) -> int:
    """Say in ``keyed_refunds`` which order each refund takes back; return how many take back none.

    All of them anew, so that it does not matter in which order files were imported.
    """
    pairs = "SELECT DISTINCT customer_key, product_id FROM keyed_refunds"
    lines = connection.execute(
        f"""
        SELECT customer_key, product_id, timestamp, place, order_id, quantity, is_return FROM (
        SELECT timestamp, false AS is_return, order_id, quantity, 0 AS amount, NULL AS received_at,
            NULL AS category, -1 AS place, customer_key, product_id
        FROM keyed_order_lines l WHERE EXISTS (FROM ({pairs}) p WHERE p.customer_key = l.customer_key
            AND p.product_id IS NOT DISTINCT FROM l.product_id)
        UNION ALL
        SELECT timestamp, true, '', quantity, amount, received_at, category, rowid, customer_key, product_id
        FROM keyed_refunds
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
    """A shop begins with its orders.

    Raises:
        PatronError: a source has none.
    """
    if connection.execute("SELECT 1 FROM order_lines LIMIT 1").fetchone() is None:
        raise PatronError("there is no order among the events; nothing was changed. Import orders first")


def span(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    """The orders' number, their first day, and the last day of orders and refunds."""
    row = connection.execute(
        "SELECT count(DISTINCT order_id), min(day), greatest(max(day), (SELECT max(day) FROM keyed_refunds))"
        " FROM keyed_order_lines"
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
