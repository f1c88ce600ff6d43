"""Writing the lake: a source's events replace it or are added to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa

from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from core.storage import sql
from core.storage.database import Database
from core.storage.duckdb_engine import connect
from events import identity, journal
from events.lake import compaction, merging, settling, staging, table_files, versions
from events.lake.metadata import LakeMetadata
from events.lake.versions import Lake
from events.schema import SCHEMAS


def write(
    home: Home,
    connection: duckdb.DuckDBPyConnection,
    time_zone: str,
    record: dict[str, Any],
    progress: Progress = silent,
    *,
    add: bool = False,
    replace: bool = False,
    imported: bool = False,
) -> LakeMetadata:
    """Replace the lake by the tables of a source, or add them to it; atomically.

    Replacing creates a new shop: journal, merges, and customers that are not in the source are deleted.
    A home without a lake may have lost it, so nothing is deleted there unless ``replace`` says so.

    Args:
        connection: contains the source's event tables, with ``customer_id`` (text) in place of
            ``customer_key`` and without ``day`` and ``hour``, and optionally ``set_aside`` and ``truth`` (one
            row per customer, with ``customer_id``).
        time_zone: the shop's; determines each event's ``day``.
        record: the source's own fields of ``import.json``; the other fields of :class:`LakeMetadata` are
            added.
        add: keep the stored and arrived events; duplicates are stored once.
        replace: delete the messages in the database although the home has no lake.
        imported: the source is a file: match refunds with orders, and filter traits for changes.

    Returns:
        The metadata of the new version.

    Raises:
        PatronError: another process writes the events, or the home lost its lake; nothing was changed.
    """
    staging.add_missing(connection)
    union = " UNION ALL ".join(f"SELECT customer_id, timestamp FROM {name}" for name in SCHEMAS)
    ids = connection.execute(
        f"SELECT customer_id FROM ({union}) GROUP BY 1 ORDER BY min(timestamp), customer_id"
    ).fetchall()
    customer_ids = [row[0] for row in ids]
    with versions.writing(home):
        database = Database(home)
        before = compaction.move(home, database)[0] if add else None
        draft = versions.begin(home)
        number = partial(journal.reserve_number, database)
        fill = partial(_fill, connection, draft, time_zone, before, progress, imported, number)
        if before:
            seq, forgotten = before.compacted_seq, before.metadata.forgotten_seq
            with database.writing() as db:
                identity.reserve(db, before.last_key)
                _register_customers(connection, db, customer_ids)
            record = record | fill()
        else:
            replaced = versions.position(home)
            with database.writing() as db:  # rolled back if the new shop cannot be written
                if replace or versions.exists(home):
                    seq = forgotten = journal.clear(db, replaced.compacted_seq)
                    identity.keep(db, customer_ids)
                else:
                    seq = forgotten = _begin_without_lake(db, home)
                identity.reserve(db, replaced.last_key)
                _register_customers(connection, db, customer_ids)
                record = record | fill()
        database.close()
        lake = versions.publish(home, draft, record, compacted_seq=seq, forgotten_seq=forgotten)
        return lake.metadata


def write_empty(home: Home, time_zone: str, record: dict[str, Any]) -> LakeMetadata:
    """Write a lake without events for a home that lost its own; the journal's events are read after it.

    Args:
        time_zone, record: as of :func:`write`.
    """
    connection = connect().con
    staging.add_missing(connection)
    with versions.writing(home):
        database, draft = Database(home), versions.begin(home)
        with database.writing() as db:
            seq = journal.before_first(db)
            _register_customers(connection, db, ())
        number = partial(journal.reserve_number, database)
        record = record | _fill(connection, draft, time_zone, None, silent, False, number)
        return versions.publish(home, draft, record, compacted_seq=seq, forgotten_seq=seq).metadata


def _begin_without_lake(db: sa.Connection, home: Home) -> int:
    """The newest number of the journal, for a shop that begins.

    Raises:
        PatronError: messages arrived before, so the home had a lake.
    """
    if count := journal.count_stored(db):
        raise PatronError(
            f"{home.path} contains no events, but its database has {count:,} messages that arrived; nothing"
            " was changed. If the folder was lost, mount it again, or restore a backup with `patron restore`,"
            " or go on with what the database has: `patron init --attach`. `--replace` of an import or a"
            " simulation deletes the messages"
        )
    return journal.newest(db)


def _register_customers(
    connection: duckdb.DuckDBPyConnection, db: sa.Connection, customer_ids: Sequence[str]
) -> None:
    """Assign keys to customers; create tables of the keys of ids, of each customer's name, and ``owners``."""
    identity.assign(db, customer_ids)
    connection.register("known_customers", identity.stored_table(db))
    connection.register("named_customers", identity.table(db, identity.customers))
    staging.know_owners(connection, identity.read_merges(db))


def _fill(
    connection: duckdb.DuckDBPyConnection,
    draft: Path,
    time_zone: str,
    before: Lake | None,
    progress: Progress,
    imported: bool,
    number: Callable[[], int],
) -> dict[str, Any]:
    """Write a version's tables; return its metadata."""
    staging.key_tables(connection, time_zone)
    notes: dict[str, Any] = {}
    if before:
        notes["new"], corrections = merging.merge_with(connection, before.folder, number)
        notes |= corrections
    names = [*SCHEMAS]
    if imported:
        names += staging.keep_raw(connection)
        staging.name_returns(connection)
        staging.keep_changes(connection)
    settling.find_complex(connection)
    if imported:
        settling.settle(connection)
        if unmatched := staging.match_returns(connection):
            notes["refunds_unmatched"] = unmatched
    tables_of_facts, surplus = settling.finish(connection)
    names += tables_of_facts
    notes |= surplus
    for i, name in enumerate(names):
        table_files.write(connection, name, draft)
        progress(f"writing {name.replace('_', ' ')}", (i + 1) / len(names))
    present = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
    for extra in {"set_aside", "truth"} & present:
        columns = "*" if extra == "set_aside" else "k.customer_key, t.* EXCLUDE (customer_id)"
        source = extra if extra == "set_aside" else "truth t JOIN known_customers k USING (customer_id)"
        path = sql.literal(draft / f"{extra}.parquet")
        connection.execute(f"COPY (SELECT {columns} FROM {source}) TO {path}")
    return notes | staging.span(connection) | _generation(connection, before)


def _generation(connection: duckdb.DuckDBPyConnection, before: Lake | None) -> dict[str, Any]:
    """The digest of the written events; the previous digest if only journal events were added since."""
    digest = _digest(connection, "keyed_{}")
    if before and before.metadata.arrived:
        pattern = sql.literal(before.folder / "{}" / "*" / "*.parquet")
        if digest == _digest(
            connection, f"read_parquet({pattern}, hive_partitioning = false, union_by_name = true)"
        ):
            return {"generation": before.metadata.generation, "arrived": before.metadata.arrived}
    return {"generation": digest}


def _digest(connection: duckdb.DuckDBPyConnection, tables: str) -> str:
    """A digest of the events, independent of the order of rows and of customer keys.

    The id of an order without a number begins with its customer's key, which is removed.

    Args:
        tables: the location of each event table, as SQL with a placeholder for its name.
    """
    total = hashlib.sha256()
    for name, schema in SCHEMAS.items():
        own = {"order_id": f"{staging.own_order('t')} AS order_id"} if "order_id" in schema else {}
        columns = ", ".join(own.get(c, f"t.{c}") for c in schema if c != "customer_key")
        rows = f"FROM {tables.format(name)} t JOIN named_customers k USING (customer_key)"
        row = connection.execute(
            f"SELECT count(*), sum(hash(e)::HUGEINT) FROM (SELECT k.customer_id, {columns} {rows}) e"
        ).fetchone()
        total.update(repr(row).encode())
        present = connection.execute(f"DESCRIBE FROM {tables.format(name)}").fetchall()
        if any(column[0] == "replaced_at" for column in present):
            row = connection.execute(
                f"SELECT count(*), sum(hash(e)::HUGEINT) FROM (SELECT k.customer_id, {columns}, replaced_at"
                f" {rows} WHERE replaced_at IS NOT NULL) e"
            ).fetchone()
            if row and row[0]:
                total.update(repr(row).encode())
    return total.hexdigest()[:16]
