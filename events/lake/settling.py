"""Resolves the orders of a whole history in the tables from which a version of the lake is written."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import duckdb

from events.lake import order_book
from events.schema import FACTS, STORED

_PAIR = "customer_key, order_id"


def find_complex(connection: duckdb.DuckDBPyConnection) -> None:
    """Create ``complex_orders``: the customers and orders with more than one relevant fact.

    These have several versions, a cancellation, or a refund without an amount, without an order, before its
    order, or above the order's value. The rows of all other orders are the stated ones.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE complex_orders AS
        WITH named AS (
            SELECT {_PAIR}, sum(amount) AS amount, min(received_at) AS received_at,
                bool_or(amount IS NULL OR coalesce(cancelled, false)) AS special
            FROM keyed_refunds WHERE order_id IS NOT NULL GROUP BY ALL),
        ordered AS (
            SELECT {_PAIR}, sum(amount) AS amount, max(received_at) AS received_at
            FROM keyed_order_lines SEMI JOIN named USING ({_PAIR}) GROUP BY ALL)
        SELECT {_PAIR} FROM keyed_order_lines WHERE version IS NOT NULL OR updated
        UNION SELECT {_PAIR} FROM named LEFT JOIN ordered USING ({_PAIR})
        WHERE special OR ordered.amount IS NULL OR named.amount > ordered.amount
            OR named.received_at < ordered.received_at
        """
    )


def settle(connection: duckdb.DuckDBPyConnection) -> order_book.Settled:
    """Resolve ``complex_orders`` into the tables ``settled_order_lines`` and ``settled_refunds``."""
    facts = {}
    for name in order_book.TABLES:
        columns = ", ".join(FACTS[name])
        facts[name] = connection.execute(
            f"SELECT {columns} FROM keyed_{name} SEMI JOIN complex_orders USING ({_PAIR})"
        ).to_arrow_table()
    settled = order_book.resolve_facts(facts)
    for name, rows in settled.tables.items():
        connection.register("rows_of_orders", rows)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE settled_{name} AS FROM rows_of_orders")
        connection.unregister("rows_of_orders")
    return settled


def finish(connection: duckdb.DuckDBPyConnection) -> tuple[list[str], dict[str, Any]]:
    """Turn ``keyed_order_lines`` and ``keyed_refunds`` into the rows of the lake.

    Returns:
        The names, without ``keyed_``, of the tables of facts to write (none if no order needs them), and the
        counts of :func:`_surplus`.
    """
    settled = settle(connection)
    tables = []
    for name in order_book.TABLES:
        columns = ", ".join(column for column in STORED[name] if column != "replaced_at")
        connection.execute(
            f"""
            ALTER TABLE keyed_{name} RENAME TO stated_{name};
            CREATE OR REPLACE TEMP VIEW keyed_{name} AS
            SELECT {columns}, NULL::TIMESTAMP AS replaced_at
            FROM stated_{name} ANTI JOIN complex_orders USING ({_PAIR})
            UNION ALL FROM settled_{name}
            """
        )
    if any(rows.num_rows for rows in settled.facts.values()):
        for name, rows in settled.facts.items():
            table = order_book.facts_table(name)
            connection.register("facts_of_orders", rows)
            connection.execute(f"CREATE OR REPLACE TEMP TABLE keyed_{table} AS FROM facts_of_orders")
            connection.unregister("facts_of_orders")
            tables.append(table)
    return tables, _surplus(connection, settled)


def _surplus(connection: duckdb.DuckDBPyConnection, settled: order_book.Settled) -> dict[str, Any]:
    """The number of the source's orders with refunds above their value, and the amounts; {} for none."""
    surplus: dict[str, list[Decimal]] = defaultdict(list)
    for _, order_id, money in settled.orders:
        if money.surplus:
            surplus[order_id].append(money.surplus)
    if not surplus:
        return {}
    stated = connection.execute(
        "SELECT order_id FROM order_lines WHERE list_contains($ids, order_id)"
        " UNION SELECT order_id FROM refunds WHERE list_contains($ids, order_id)",
        {"ids": list(surplus)},
    ).fetchall()
    amounts = [amount for (order_id,) in stated for amount in surplus[order_id]]
    return {"surplus_orders": len(amounts), "surplus": float(sum(amounts))} if amounts else {}
