"""Reading the history: the lake's tables, the events that arrived since, and the events of merged customers.

:mod:`events.lake.versions` describes the storage. Row groups are small and sorted, so reading one customer's
history reads one bucket's footer and a row group or two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend
from ibis.backends.sql import SQLBackend
from ibis.backends.sql.datatypes import DuckDBType

from core.calendar import moment
from core.errors import PatronError
from core.home import Home
from core.storage import sql
from core.storage.database import Database
from core.storage.duckdb_engine import connect
from events import journal, warehouse
from events.identity import Identity, Merge
from events.lake import order_book
from events.lake.metadata import LakeMetadata
from events.lake.versions import BUCKETS, Lake, bucket_file, current
from events.schema import MERGES, SCHEMAS, STORED, Events

if TYPE_CHECKING:
    from core.storage.spark_backend import SparkBackend

_DUCKDB_TYPES = {
    name: {column: DuckDBType.to_string(ibis.dtype(dtype)) for column, dtype in schema.items()}
    for name, schema in STORED.items()
}


def metadata(home: Home) -> LakeMetadata:
    """The metadata of the lake's current version.

    Raises:
        PatronError: as :func:`current`.
    """
    return current(home).metadata


def read(home: Home, backend: SQLBackend) -> Events:
    """The event tables of a home, on the engine of :func:`backend_of` or on Spark;
    :mod:`features.offline.boundaries` adds the boundaries.

    Orders and refunds have the column ``replaced_at``; see ``STORED`` in :mod:`events.schema`.

    Raises:
        NothingThere: nothing was imported or simulated yet.
        PatronError: a file of the lake or the warehouse cannot be read.
    """
    if backend.name in warehouse.ENGINES:
        return warehouse.read(home, backend)
    version, tail, merged = _sources(home)
    merges = ibis.memtable(_merge_table(merged)) if merged else None
    stored = _stored if isinstance(backend, Backend) else _stored_on_spark
    tables = {name: stored(backend, version.folder, name) for name in SCHEMAS}
    settled = None
    if tail or merged:
        # Few orders have several facts, and they are resolved in this process for either engine.
        local = backend if isinstance(backend, Backend) else connect()
        facts = {name: tail.get(name, schema.empty_table()) for name, schema in order_book.FACT_TYPES.items()}
        rows = partial(stored_orders, local.con, version.folder)
        settled = order_book.settle(rows, facts, merged, _shared(local, version.folder, merged))
    for name, arrived_rows in tail.items():
        if arrived_rows.num_rows:
            tables[name] = tables[name].union(ibis.memtable(order_book.as_stored(name, arrived_rows)))
    if merges is not None:
        tables = {name: table.union(_as_others(table, merges)) for name, table in tables.items()}
    if settled is not None and len(settled.order_ids):
        ids = ibis.memtable(pa.table({"order_id": settled.order_ids}))
        for name, resolved in settled.tables.items():
            tables[name] = tables[name].anti_join(ids, "order_id").union(ibis.memtable(resolved))
    return Events(**tables, merges=merges)


def stored_orders(
    connection: duckdb.DuckDBPyConnection, folder: Path, name: str, order_ids: pa.Array
) -> pa.Table:
    """The rows of some orders in a table of a version of the lake.

    Args:
        name: ``order_lines``, ``refunds`` or a table of facts, which may be missing.
    """
    types = {order_book.facts_table(table): schema for table, schema in order_book.FACT_TYPES.items()}
    schema = (types | order_book.STORED_TYPES)[name]
    if not (folder / name).exists():
        return schema.empty_table()
    connection.register("some_orders", pa.table({"order_id": order_ids}))
    files = sql.literal(folder / name / "*" / "*.parquet")
    rows = connection.execute(
        f"FROM read_parquet({files}, hive_partitioning = false, union_by_name = true)"
        " SEMI JOIN some_orders USING (order_id)"
    ).to_arrow_table()
    connection.unregister("some_orders")
    return complete(rows, schema).cast(schema)


def complete(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows with all columns of a schema; columns that an earlier release did not write are null."""
    for column in schema:
        if column.name not in rows.column_names:
            rows = rows.append_column(column, pa.nulls(rows.num_rows, column.type))
    return rows.select(schema.names)


def _shared(backend: Backend, folder: Path, merges: Sequence[Merge]) -> pa.Array | None:
    """The orders that the lake has under several customers of one merged group."""
    if not merges:
        return None
    backend.con.register("some_merges", _merge_table(merges))
    names = [n for table in order_book.TABLES for n in (table, order_book.facts_table(table))]
    parts = [
        f"SELECT customer_key, order_id FROM"
        f" read_parquet({sql.literal(folder / name / '*' / '*.parquet')}, hive_partitioning = false)"
        for name in names
        if (folder / name).exists()
    ]
    rows = backend.con.execute(
        f"""
        WITH members AS (SELECT "into" AS person, customer_key FROM some_merges
            UNION SELECT "into", "into" FROM some_merges)
        SELECT DISTINCT order_id FROM (
            SELECT order_id FROM ({" UNION ALL ".join(parts)}) JOIN members USING (customer_key)
            WHERE order_id IS NOT NULL
            GROUP BY person, order_id HAVING count(DISTINCT customer_key) > 1)
        """
    ).to_arrow_table()
    backend.con.unregister("some_merges")
    return rows["order_id"].combine_chunks()


def arrived(
    home: Home, database: Database, customer_keys: Sequence[int] | None = None
) -> tuple[Lake, dict[str, pa.Table]]:
    """The current version of the lake, and the events that arrived since, as event tables.

    Args:
        customer_keys: only these customers' own events.
    """
    version = _own(home)
    while True:
        tail = journal.tail(database, version.compacted_seq, customer_keys=customer_keys)
        newer = current(home)
        if newer.metadata.forgotten_seq <= version.compacted_seq:
            return version, tail
        version = newer  # events compacted since may be gone from the journal


def _sources(home: Home) -> tuple[Lake, Mapping[str, pa.Table], list[Merge]]:
    """The current version, the events that arrived since, and the merges."""
    if not home.has_database:
        return _own(home), {}, []
    database = Database(home)
    version, tail = arrived(home, database)
    # After the events: a merge read too early has no effect yet, but a merge read too late would be missed.
    merged = Identity(home, database).merges()
    database.close()
    return version, tail, merged


def _own(home: Home) -> Lake:
    """The current version of a home that has its own events.

    Raises:
        PatronError: they are in a warehouse.
    """
    version = current(home)
    if version.metadata.source == warehouse.SOURCE:
        raise PatronError(
            f"the events of {home.path} are in its warehouse, where builds, training and key figures read"
            " them; this reads a lake of Patron's own"
        )
    return version


def _merge_table(merges: Sequence[Merge]) -> pa.Table:
    rows = [(m.customer_key, m.into, moment(m.at_us).replace(tzinfo=None)) for m in merges]
    columns = dict(zip(MERGES, map(list, zip(*rows, strict=True)), strict=True))
    return pa.table(columns).cast(ibis.schema(MERGES).to_pyarrow())


def _stored(backend: Backend, folder: Path, name: str) -> ir.Table:
    """A table of a version of the lake: a view with the types of ``STORED``, so Ibis looks none up."""
    pattern = sql.literal(folder / name / "*" / "*.parquet")
    rows = f"read_parquet({pattern}, hive_partitioning = false, union_by_name = true)"
    try:
        # Read every footer, since DuckDB opens only the first file until a query needs the others.
        files = backend.con.execute(f"SELECT count(*) FROM parquet_file_metadata({pattern})")
        complete_files = files.fetchone() == (BUCKETS,)
        written = {column for column, *_ in backend.con.execute(f"FROM {rows} LIMIT 0").description}
        columns = ", ".join(
            f"CAST({sql.name(column) if column in written else 'NULL'} AS {dtype}) AS {sql.name(column)}"
            for column, dtype in _DUCKDB_TYPES[name].items()  # an earlier release did not write some
        )
        backend.con.execute(f"CREATE OR REPLACE TEMP VIEW {sql.name(name)} AS SELECT {columns} FROM {rows}")
    except (duckdb.Error, OSError) as error:
        raise PatronError(
            f"the lake's table {folder / name} cannot be read; bring the shop in again with --replace"
        ) from error
    if not complete_files:
        raise PatronError(
            f"files of the lake's table {folder / name} are missing; bring the shop in again with --replace"
        )
    table: ir.Table = ops.DatabaseTable(name, ibis.schema(STORED[name]), backend).to_expr()
    return table


def _stored_on_spark(backend: SparkBackend, folder: Path, name: str) -> ir.Table:
    """A table of a version of the lake, with the types of ``STORED``; all machines must see its files."""
    paths = [bucket_file(folder, name, bucket) for bucket in range(BUCKETS)]
    try:
        for path in paths:
            pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise PatronError(
            f"the lake's table {folder / name} cannot be read; bring the shop in again with --replace"
        ) from error
    rows = backend.read_parquet(paths)
    columns = {
        column: (rows[column] if column in rows.columns else ibis.null()).cast(dtype)
        for column, dtype in STORED[name].items()  # an earlier release did not write some
    }
    return rows.select(**columns)


def _as_others(events: ir.Table, merges: ir.Table) -> ir.Table:
    """The events of merged customers, assigned to the customer they were merged into, as known since the
    merge.
    """
    joined = events.inner_join(merges, "customer_key")
    known = ibis.greatest(joined.received_at, joined["at"])
    return joined.mutate(customer_key=joined.into, received_at=known).select(events.columns)
