"""How many orders were stated more than once, what waits for its order, and what was given back too much."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import pyarrow as pa

from core.home import Home
from core.storage import sql
from core.storage.database import Database
from core.storage.duckdb_engine import connect
from events import lake
from events.identity import Identity, Merge
from events.lake import order_book
from events.lake.reading import stored_orders


@dataclass(frozen=True)
class OrderCounts:
    """Orders of more than one fact.

    Attributes:
        corrected: orders of several versions. cancelled: orders that are cancelled.
        waiting: refunds and cancellations of orders that were not received.
        surplus_orders, surplus: of how many orders more was given back than they brought, and how much.
    """

    corrected: int
    cancelled: int
    waiting: int
    surplus_orders: int
    surplus: Decimal


def order_counts(home: Home) -> OrderCounts:
    """Count the orders of a home.

    Raises:
        PatronError: there is no shop, or the lake or the database cannot be read.
    """
    version = lake.current(home)
    tail: dict[str, pa.Table] = {}
    merges: list[Merge] = []
    if home.has_database:
        database = Database(home)
        version, tail = lake.arrived(home, database)
        merges = Identity(home, database).merges()
        database.close()
    connection = connect().con
    names = [order_book.facts_table(table) for table in order_book.TABLES]
    ids = [pa.array([], pa.string())]
    for name in (name for name in names if (version.folder / name).exists()):
        files = sql.literal(version.folder / name / "*" / "*.parquet")
        query = f"SELECT DISTINCT order_id FROM read_parquet({files}, hive_partitioning = false)"
        ids.append(connection.execute(query).to_arrow_table()["order_id"].combine_chunks())
    arrived = {name: tail.get(name, schema.empty_table()) for name, schema in order_book.FACT_TYPES.items()}
    rows = partial(stored_orders, connection, version.folder)
    settled = order_book.settle(rows, arrived, merges, pa.concat_arrays(ids))
    merged = {merge.customer_key for merge in merges}
    orders = [money for key, _, money in settled.orders if key not in merged]
    surplus = [money.surplus for money in orders if money.surplus]
    return OrderCounts(
        corrected=sum(money.versions > 1 for money in orders),
        cancelled=sum(money.cancelled for money in orders),
        waiting=sum(money.waiting for money in orders),
        surplus_orders=len(surplus),
        surplus=sum(surplus, Decimal(0)),
    )
