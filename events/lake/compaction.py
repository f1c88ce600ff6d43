"""Compaction moves events from the journal into the lake; readers see each event exactly once meanwhile.

A new version is written next to the current one and published in one step (:mod:`events.lake.versions`). The
journal keeps the events that the previous version lacks, for readers that still use it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from core.home import Home
from core.storage import sql
from core.storage.database import Database
from core.storage.duckdb_engine import connect
from events import journal
from events.lake import order_book, staging, versions
from events.lake.reading import stored_orders

SLICE = 100_000  # messages whose events are in memory at once


def compact(home: Home, database: Database) -> int:
    """Move the journal's events into the lake.

    Returns:
        The number of events that were moved.

    Raises:
        PatronError: another writer is running, or there is no shop; nothing was changed.
    """
    with versions.writing(home):
        return move(home, database)[1]


def move(home: Home, database: Database) -> tuple[versions.Lake, int]:
    """Compact under the writer's lock, which the caller holds; return the new version and the number of
    events.
    """
    before = versions.current(home)
    upto = journal.advance_to(database, before.compacted_seq)
    if upto == before.compacted_seq:
        return before, 0
    draft = versions.begin(home)
    versions.link(before.folder, draft)
    connection, zone = connect(home.path).con, home.shop().time_zone
    record, moved = before.metadata.record, 0
    for start in range(before.compacted_seq, upto, SLICE):
        tail = journal.tail(database, start, min(start + SLICE, upto))
        record = _grown(connection, record, tail, draft, zone)
        moved += sum(rows.num_rows for rows in tail.values())
        _move_orders(connection, draft, tail)
        for name in tail.keys() - set(order_book.TABLES):
            _add(connection, draft, name, tail[name])
        for name in staging.RAW_TABLES:
            if (draft / staging.raw_table(name)).exists():
                _add(connection, draft, staging.raw_table(name), tail[name])
    record = record | {"arrived": before.metadata.arrived + moved}
    lake = versions.publish(home, draft, record, compacted_seq=upto, forgotten_seq=before.compacted_seq)
    journal.forget(database, before.compacted_seq)
    return lake, moved


def _move_orders(connection: duckdb.DuckDBPyConnection, draft: Path, tail: dict[str, pa.Table]) -> None:
    """Add orders and refunds; orders with several facts are resolved again."""
    settled = order_book.settle(partial(stored_orders, connection, draft), tail)
    for name, resolved in settled.tables.items():
        rows = tail[name].filter(pc.invert(pc.is_in(tail[name]["order_id"], settled.order_ids)))
        _add(connection, draft, name, pa.concat_tables([order_book.as_stored(name, rows), resolved]),
             settled.order_ids)  # fmt: skip
        facts = order_book.facts_table(name)
        if settled.facts[name].num_rows and not (draft / facts).exists():
            create_facts(connection, draft, name)
        if (draft / facts).exists():
            _add(connection, draft, facts, settled.facts[name], settled.order_ids)


def create_facts(connection: duckdb.DuckDBPyConnection, draft: Path, name: str) -> None:
    """Create the empty table of the facts about orders."""
    connection.register("no_facts", order_book.FACT_TYPES[name].empty_table())
    table = order_book.facts_table(name)
    paths = [versions.bucket_file(draft, table, bucket) for bucket in range(versions.BUCKETS)]
    versions.write_empty_buckets(connection, "no_facts", paths)
    connection.unregister("no_facts")


def _add(
    connection: duckdb.DuckDBPyConnection,
    draft: Path,
    table: str,
    rows: pa.Table,
    replaced: pa.Array | None = None,
) -> None:
    """Rewrite the buckets of these rows, with the rows added.

    Args:
        replaced: orders whose stored rows are dropped.
    """
    pattern = sql.literal(draft / table / "*" / "*.parquet")
    of = f"customer_key % {versions.BUCKETS}"
    touched = set(pc.unique(pc.bit_wise_and(rows["customer_key"], versions.BUCKETS - 1)).to_pylist())
    connection.register("arrived", rows)
    connection.register("replaced", pa.table({"order_id": pa.array([], pa.string())}))
    if replaced is not None and len(replaced):
        connection.register("replaced", pa.table({"order_id": replaced}))
        stored = f"read_parquet({pattern}, hive_partitioning = false, union_by_name = true)"
        result = connection.execute(f"SELECT DISTINCT {of} FROM {stored} SEMI JOIN replaced USING (order_id)")
        touched |= {bucket for (bucket,) in result.fetchall()}
    without = "ANTI JOIN replaced USING (order_id)" if "order_id" in rows.column_names else ""
    for bucket in sorted(touched):
        path = versions.bucket_file(draft, table, bucket)
        there = f"read_parquet({sql.literal(path)}, hive_partitioning = false)"
        both = f"(FROM {there} {without} UNION ALL BY NAME FROM arrived WHERE {of} = {bucket})"
        versions.write_bucket(connection, both, path)
    connection.unregister("arrived")
    connection.unregister("replaced")


def _grown(
    connection: duckdb.DuckDBPyConnection,
    record: dict[str, Any],
    tail: dict[str, pa.Table],
    draft: Path,
    zone: str,
) -> dict[str, Any]:
    """The metadata with the number and the span of the orders updated for these events.

    The first day is the first on which an order was known: an order reported later is not history by then.
    """
    connection.register("lines", tail["order_lines"])
    connection.register("returned", tail["refunds"])
    pattern = sql.literal(draft / "order_lines" / "*" / "*.parquet")
    there = f"read_parquet({pattern}, hive_partitioning = false)"
    first, last, orders = connection.execute(
        f"""
        SELECT min(greatest(day, {staging.local_day("received_at", zone)})),
            greatest(max(day), (SELECT max(day) FROM returned)),
            (SELECT count(DISTINCT order_id) FROM lines WHERE order_id NOT IN (SELECT order_id FROM {there}))
        FROM lines
        """
    ).fetchall()[0]
    first, last = (
        pick([day for day in (record[name], new) if day is not None], default=None)
        for pick, name, new in ((min, "first_day", first), (max, "last_day", last))
    )
    return record | staging.days(record["orders"] + orders, first, last)
