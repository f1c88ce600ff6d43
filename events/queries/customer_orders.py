"""One customer's order lines and refunds in all versions, read from the customer's buckets of the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa

from core.errors import PatronError
from events import lake
from events.identity import Merge
from events.lake import order_book
from events.lake.buckets import of_customers
from events.lake.reading import complete


def customer_orders(
    cursor: duckdb.DuckDBPyConnection,
    version: lake.Lake,
    arrived: Mapping[str, pa.Table],
    merges: Sequence[Merge],
    customer_key: int,
    *,
    refunds: bool = True,
) -> dict[str, pa.Table]:
    """The tables ``order_lines`` and ``refunds`` of a customer, with the columns of ``STORED``.

    Args:
        arrived: events that the version does not contain. merges: of others into this customer.
        refunds: whether refunds are wanted; order lines do not depend on the lake's.

    Raises:
        PatronError: a table of the lake is missing or cannot be read.
    """
    types, facts = order_book.STORED_TYPES, order_book.FACT_TYPES
    keys = sorted({customer_key, *(merge.customer_key for merge in merges)})
    stored = {}
    for name in order_book.TABLES:
        stored[name] = types[name].empty_table()
        if name == "order_lines" or refunds:
            stored[name] = _rows(cursor, version, name, types[name], keys)
        table = order_book.facts_table(name)
        stored[table] = facts[name].empty_table()
        if (version.folder / table).exists():
            stored[table] = _rows(cursor, version, table, facts[name], keys)
    tail = {name: arrived.get(name, schema.empty_table()) for name, schema in facts.items()}
    return of_customers(stored, tail, merges, [customer_key])


def unreadable(version: lake.Lake, table: str) -> PatronError:
    """The error that a table of the lake cannot be read."""
    return PatronError(
        f"the lake's table {version.folder / table} is missing or cannot be read;"
        " bring the shop in again with --replace"
    )


def _rows(
    cursor: duckdb.DuckDBPyConnection, version: lake.Lake, table: str, schema: pa.Schema, keys: Sequence[int]
) -> pa.Table:
    files = sorted({str(lake.bucket_file(version.folder, table, key)) for key in keys})
    try:
        rows = cursor.execute(
            "FROM read_parquet($files, union_by_name = true, hive_partitioning = false)"
            f" WHERE customer_key IN ({', '.join(map(str, keys))})",
            {"files": files},
        ).to_arrow_table()
    except duckdb.Error as error:
        raise unreadable(version, table) from error
    return complete(rows, schema).cast(schema)
