"""The history: event tables as Parquet, bucketed by customer and sorted by customer and time.

How they lie on the disk is said in :mod:`events.lake.versions`. Row groups are small and sorted, so one
customer's history costs one bucket's footer and a row group or two. Whoever reads takes the lake, what
arrived since (:mod:`events.journal`), and the events of those who turned out to be somebody else.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import sqlalchemy as sa
from ibis.backends.duckdb import Backend

from core.calendar import moment
from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from core.storage import sql
from core.storage.database import Database
from core.storage.duckdb_engine import connect
from events import identity, journal
from events.identity import Identity
from events.lake import compaction as compact
from events.lake import staging as merge
from events.lake import versions
from events.lake.metadata import LakeMetadata
from events.lake.versions import BUCKETS, Lake, bucket_file, current, exists
from events.schema import MERGES, SCHEMAS, Events

__all__ = [
    "BUCKETS",
    "Lake",
    "arrived",
    "bucket_file",
    "connect",
    "current",
    "exists",
    "metadata",
    "read",
    "write",
]


def metadata(home: Home) -> LakeMetadata:
    """The metadata of the lake's current version.

    Raises:
        PatronError: as :func:`current`.
    """
    return current(home).metadata


def read(home: Home, backend: Backend) -> Events:
    """The event tables of a home; the boundaries are put beside them by :mod:`features.offline.boundaries`.

    Raises:
        NothingThere: nothing was imported or simulated yet.
        PatronError: a file of the lake cannot be read.
    """
    held, tail, merges = _held(home)
    tables = {name: _stored(backend, held.folder, name) for name in SCHEMAS}
    for name, rows in tail.items():
        if rows.num_rows:
            tables[name] = tables[name].union(ibis.memtable(rows))
    if merges is not None:
        tables = {name: table.union(_as_others(table, merges)) for name, table in tables.items()}
    return Events(**tables, merges=merges)


def arrived(
    home: Home, database: Database, customer_keys: Sequence[int] | None = None
) -> tuple[Lake, dict[str, pa.Table]]:
    """The version that holds, and the events that arrived since, as event tables.

    Args:
        customer_keys: only these customers' own events.
    """
    held = current(home)
    while True:
        tail = journal.tail(database, held.compacted_seq, customer_keys=customer_keys)
        newer = current(home)
        if newer.metadata.forgotten_seq <= held.compacted_seq:
            return held, tail
        held = newer  # what followed the older version may have left the journal by now


def _held(home: Home) -> tuple[Lake, Mapping[str, pa.Table], ir.Table | None]:
    """The version that holds, what arrived since, and who was merged."""
    if not home.has_database:
        return current(home), {}, None
    database = Database(home)
    held, tail = arrived(home, database)
    # After the tail: a merge that is still to come is not visible yet, but a missing one would be missed.
    merged = Identity(home, database).merges()
    database.close()
    if not merged:
        return held, tail, None
    rows = [(m.customer_key, m.into, moment(m.at_us).replace(tzinfo=None)) for m in merged]
    columns = dict(zip(MERGES, map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table(columns).cast(ibis.schema(MERGES).to_pyarrow())
    return held, tail, ibis.memtable(table)


def _stored(backend: Backend, folder: Path, name: str) -> ir.Table:
    pattern = str(folder / name / "*" / "*.parquet")
    try:
        # Every footer, since DuckDB opens only the first file until a query needs the others.
        files = backend.con.execute("SELECT count(*) FROM parquet_file_metadata(?)", [pattern])
        complete = files.fetchone() == (BUCKETS,)
        table = backend.read_parquet(pattern, table_name=name, hive_partitioning=False)
    except (duckdb.Error, OSError) as error:
        raise PatronError(
            f"the lake's table {folder / name} cannot be read; bring the shop in again with --replace"
        ) from error
    if not complete:
        raise PatronError(
            f"files of the lake's table {folder / name} are missing; bring the shop in again with --replace"
        )
    return table.select(*SCHEMAS[name]).cast(SCHEMAS[name])


def _as_others(events: ir.Table, merges: ir.Table) -> ir.Table:
    """The events of merged customers as of those who they turned out to be, known since the merge."""
    joined = events.inner_join(merges, "customer_key")
    known = ibis.greatest(joined.received_at, joined["at"])
    return joined.mutate(customer_key=joined.into, received_at=known).select(events.columns)


def write(
    home: Home,
    connection: duckdb.DuckDBPyConnection,
    time_zone: str,
    record: dict[str, Any],
    progress: Progress = silent,
    *,
    add: bool = False,
    imported: bool = False,
) -> LakeMetadata:
    """Replace the lake by the tables of a source, or add them to it; all of it or nothing.

    Replacing begins a new shop: what arrived, merges, and customers of whom the source does not tell are
    forgotten.

    Args:
        connection: holds the event tables, or those that the source has, with
            ``customer_id`` (text) in place of ``customer_key`` and without ``day`` and ``hour``, and
            optionally ``set_aside``, ``truth`` (one row per customer, with ``customer_id``).
        time_zone: the shop's; decides each event's ``day``.
        record: what the source says of itself, stored in ``import.json``; :class:`LakeMetadata` names the
            rest, which is added.
        add: keep the events that are there, and what arrived; what is told again stays once.
        imported: from a file: find the order that each refund takes back, and which traits are news.

    Returns:
        The metadata of the new version.

    Raises:
        PatronError: the events are being written by somebody else; nothing was changed.
    """
    merge.add_missing(connection)
    union = " UNION ALL ".join(f"SELECT customer_id, timestamp FROM {name}" for name in SCHEMAS)
    ids = connection.execute(
        f"SELECT customer_id FROM ({union}) GROUP BY 1 ORDER BY min(timestamp), customer_id"
    ).fetchall()
    told = [row[0] for row in ids]
    with versions.writing(home):
        database = Database(home)
        held = compact.move(home, database)[0] if add else None
        draft = versions.begin(home)
        fill = partial(_fill, connection, draft, time_zone, held, progress, imported)
        if held:
            seq, forgotten = held.compacted_seq, held.metadata.forgotten_seq
            with database.writing() as db:
                _know(connection, db, told)
            record = record | fill()
        else:
            with database.writing() as db:  # what is forgotten stays where the new shop cannot be written
                seq = forgotten = journal.clear(db, versions.compacted_seq(home))
                identity.keep(db, told)
                _know(connection, db, told)
                record = record | fill()
        database.close()
        lake = versions.publish(home, draft, record, compacted_seq=seq, forgotten_seq=forgotten)
        return lake.metadata


def _know(connection: duckdb.DuckDBPyConnection, db: sa.Connection, customer_ids: Sequence[str]) -> None:
    """Give customers their keys, and make the tables of all ids, of each customer's name, and ``owners``."""
    identity.assign(db, customer_ids)
    connection.register("known_customers", identity.table(db, identity.ids))
    connection.register("named_customers", identity.table(db, identity.customers))
    merge.know_owners(connection, identity.read_merges(db))


def _fill(
    connection: duckdb.DuckDBPyConnection,
    draft: Path,
    time_zone: str,
    held: Lake | None,
    progress: Progress,
    imported: bool,
) -> dict[str, Any]:
    """Write a version's tables; return what is to be said of them."""
    merge.key_tables(connection, time_zone)
    found: dict[str, Any] = {}
    if held:
        found["new"] = merge.merge_with(connection, held.folder)
    names = [*SCHEMAS]
    if imported:
        names += merge.keep_told(connection)
        merge.keep_news(connection)
        if unmatched := merge.match_returns(connection):
            found["refunds_unmatched"] = unmatched
    for i, name in enumerate(names):
        _write_table(connection, name, draft / name)
        progress(f"writing {name.replace('_', ' ')}", (i + 1) / len(names))
    present = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
    for extra in {"set_aside", "truth"} & present:
        columns = "*" if extra == "set_aside" else "k.customer_key, t.* EXCLUDE (customer_id)"
        source = extra if extra == "set_aside" else "truth t JOIN known_customers k USING (customer_id)"
        path = sql.literal(draft / f"{extra}.parquet")
        connection.execute(f"COPY (SELECT {columns} FROM {source}) TO {path}")
    return found | merge.span(connection) | _generation(connection, held)


def _generation(connection: duckdb.DuckDBPyConnection, held: Lake | None) -> dict[str, Any]:
    """The digest of what was written; the one that was there if only what arrived has come to it since."""
    digest = _digest(connection, "keyed_{}")
    if held and held.metadata.arrived:
        pattern = sql.literal(held.folder / "{}" / "*" / "*.parquet")
        if digest == _digest(connection, f"read_parquet({pattern}, hive_partitioning = false)"):
            return {"generation": held.metadata.generation, "arrived": held.metadata.arrived}
    return {"generation": digest}


def _write_table(connection: duckdb.DuckDBPyConnection, name: str, folder: Path) -> None:
    """Write a ``keyed_`` table bucket by bucket, each sorted.

    The table is split into buckets in one pass first, since it may lie spilled on the disk.
    """
    split = folder.with_name(f"{name}.split")
    connection.execute(
        f"COPY (SELECT *, customer_key % {BUCKETS} AS bucket FROM keyed_{name})"
        f" TO {sql.literal(split)} (FORMAT parquet, PARTITION_BY (bucket))"
    )
    for bucket in range(BUCKETS):
        parts = split / f"bucket={bucket}"
        read = f"read_parquet({sql.literal(parts / '*.parquet')}, hive_partitioning = false)"
        rows = read if parts.exists() else f"(FROM keyed_{name} LIMIT 0)"
        versions.write_bucket(connection, rows, bucket_file(folder.parent, name, bucket))
    shutil.rmtree(split, ignore_errors=True)


def _digest(connection: duckdb.DuckDBPyConnection, tables: str) -> str:
    """A digest of the events themselves, whatever the order of their rows and of the customers' keys.

    An order without a number has one that begins with its customer's key.

    Args:
        tables: where each event table is, as SQL with its name to be filled in.
    """
    total = hashlib.sha256()
    for name, schema in SCHEMAS.items():
        replaced = f" REPLACE ({merge.own_order('t')} AS order_id)" if "order_id" in schema else ""
        row = connection.execute(
            f"SELECT count(*), sum(hash(e)::HUGEINT) FROM (SELECT k.customer_id, t.* EXCLUDE (customer_key)"
            f"{replaced} FROM {tables.format(name)} t JOIN named_customers k USING (customer_key)) e"
        ).fetchone()
        total.update(repr(row).encode())
    return total.hexdigest()[:16]
