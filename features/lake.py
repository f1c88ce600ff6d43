"""The history: event tables as Parquet, bucketed by customer and sorted by customer and time.

``events/order_lines/bucket=03/part-0.parquet`` and so on. Row groups are small and sorted, so
one customer's history costs one bucket's footer and a row group or two.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import ibis
from ibis.backends.duckdb import Backend

from features import merge
from features.calendar import date_of
from features.errors import NothingThere, PatronError
from features.events import SCHEMAS, Events
from features.home import Home
from features.identity import Identity
from features.progress import Progress, silent

BUCKETS = 16
ROW_GROUP_ROWS = 20_480
SPILL_BEYOND = "1200MB"


def connect(spill: Path | None = None) -> Backend:
    """An in-memory DuckDB that never reaches for the network and keeps time in UTC.

    Args:
        spill: a folder for what does not fit into ``SPILL_BEYOND`` of memory.
    """
    backend = ibis.duckdb.connect()
    if spill is not None:
        spill.mkdir(parents=True, exist_ok=True)
        where = str(spill / "spill").replace("'", "''")
        backend.con.execute(f"SET memory_limit = '{SPILL_BEYOND}'; SET temp_directory = '{where}'")
    backend.con.execute("SET TimeZone = 'UTC'; SET autoinstall_known_extensions = false")
    # The pragma, since a notebook without ipywidgets refuses every setting of the bar.
    backend.con.execute("PRAGMA disable_progress_bar; SET preserve_insertion_order = true")
    return backend


def exists(home: Home) -> bool:
    """Whether a home holds events."""
    _recover(home)
    return (home.events / "import.json").exists()


def _recover(home: Home) -> None:
    """Put the old lake back where a crash came between taking it away and placing the new one."""
    old = home.path / "events.old"
    if old.exists() and not home.events.exists():
        os.replace(old, home.events)


def bucket_file(events: Path, table: str, customer_key: int) -> Path:
    """The file of an event table that holds a customer, below a lake's folder."""
    return events / table / f"bucket={customer_key % BUCKETS:02d}" / "part-0.parquet"


def read(home: Home, backend: Backend) -> Events:
    """The event tables of a home; the boundaries are put beside them by :mod:`features.boundaries`.

    Raises:
        NothingThere: nothing was imported or simulated yet.
        PatronError: a file of the lake cannot be read.
    """
    if not exists(home):
        raise NothingThere(
            f"there are no events in {home.path}; run `patron simulate` or `patron import FILE`"
        )
    tables = {}
    for name, schema in SCHEMAS.items():
        pattern = str(home.events / name / "*" / "*.parquet")
        try:
            # Every footer, since DuckDB opens only the first file until a query needs the others.
            files = backend.con.execute("SELECT count(*) FROM parquet_file_metadata(?)", [pattern])
            complete = files.fetchone() == (BUCKETS,)
            table = backend.read_parquet(pattern, table_name=name, hive_partitioning=False)
        except (duckdb.Error, OSError) as error:
            raise PatronError(
                f"the lake's table {home.events / name} cannot be read; bring the shop in again"
                " with --replace"
            ) from error
        if not complete:
            raise PatronError(
                f"files of the lake's table {home.events / name} are missing; bring the shop in again"
                " with --replace"
            )
        tables[name] = table.select(*schema).cast(schema)
    return Events(**tables)


def describe(home: Home) -> dict[str, Any]:
    """What the last import or simulation recorded about itself."""
    _recover(home)
    try:
        found: dict[str, Any] = json.loads((home.events / "import.json").read_text())
    except FileNotFoundError as error:
        raise NothingThere(
            f"there are no events in {home.path}; run `patron simulate` or `patron import FILE`"
        ) from error
    except ValueError as error:
        raise PatronError(
            f"{home.events / 'import.json'} is damaged; bring the shop in again with --replace"
        ) from error
    return found


def write(
    home: Home,
    connection: duckdb.DuckDBPyConnection,
    time_zone: str,
    description: dict[str, Any],
    progress: Progress = silent,
    *,
    add: bool = False,
    imported: bool = False,
) -> dict[str, Any]:
    """Replace the lake by the tables of a source, or add them to it; all of it or nothing.

    Args:
        connection: holds the event tables, or those that the source has, with
            ``customer_id`` (text) in place of ``customer_key`` and without ``day`` and ``hour``, and
            optionally ``set_aside``, ``truth`` (one row per customer, with ``customer_id``).
        time_zone: the shop's; decides each event's ``day``.
        description: kept as ``import.json``; gets ``generation``, a digest of what was written,
            the orders' number and their span.
        add: keep the events that are there; what is told again stays once.
        imported: from a file: find the order that each refund takes back, and which traits are news.

    Returns:
        The description as it was written.
    """
    if not add:
        merge.need_orders(connection)
    _recover(home)
    draft, old = home.path / "events.new", home.path / "events.old"
    for left_over in (draft, old):
        shutil.rmtree(left_over, ignore_errors=True)
    draft.mkdir(parents=True)
    merge.add_missing(connection)
    _assign_keys(home, connection)
    merge.key_tables(connection, time_zone)
    if add:
        description = description | {"new": merge.merge_with(connection, home.events)}
    if imported:
        merge.keep_news(connection)
        if unmatched := merge.match_returns(connection):
            description = description | {"refunds_unmatched": unmatched}
    orders, first_day, last_day = merge.span(connection)
    for i, name in enumerate(SCHEMAS):
        _write_table(connection, name, draft / name)
        progress(f"writing {name.replace('_', ' ')}", (i + 1) / len(SCHEMAS))
    present = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
    for extra in {"set_aside", "truth"} & present:
        columns = "*" if extra == "set_aside" else "k.customer_key, t.* EXCLUDE (customer_id)"
        source = extra if extra == "set_aside" else "truth t JOIN known_customers k USING (customer_id)"
        connection.execute(f"COPY (SELECT {columns} FROM {source}) TO '{draft / extra}.parquet'")
    if imported:
        connection.execute(f"COPY {merge.TOLD} TO '{draft / merge.TOLD}.parquet'")
    days = {"first_day": first_day, "last_day": last_day, "orders": orders}
    dates = {"from": date_of(first_day).isoformat(), "to": date_of(last_day).isoformat()}
    description = description | days | dates | {"generation": _digest(connection)}
    (draft / "import.json").write_text(json.dumps(description, indent=2))
    if home.events.exists():
        os.replace(home.events, old)
    os.replace(draft, home.events)
    shutil.rmtree(old, ignore_errors=True)
    return description


def _assign_keys(home: Home, connection: duckdb.DuckDBPyConnection) -> None:
    union = " UNION ALL ".join(f"SELECT customer_id, timestamp FROM {name}" for name in SCHEMAS)
    ids = connection.execute(
        f"SELECT customer_id FROM ({union}) GROUP BY 1 ORDER BY min(timestamp), customer_id"
    ).fetchall()
    identity = Identity(home)
    identity.assign(row[0] for row in ids)
    connection.register("known_customers", identity.table())


def _write_table(connection: duckdb.DuckDBPyConnection, name: str, folder: Path) -> None:
    """Write a ``keyed_`` table bucket by bucket, each sorted.

    The table is split into buckets in one pass first, since it may lie spilled on the disk.
    """
    split = folder.with_name(f"{name}.split")
    connection.execute(
        f"COPY (SELECT *, customer_key % {BUCKETS} AS bucket FROM keyed_{name}) TO '{split}'"
        " (FORMAT parquet, PARTITION_BY (bucket))"
    )
    for bucket in range(BUCKETS):
        parts = split / f"bucket={bucket}"
        read = f"read_parquet('{parts}/*.parquet', hive_partitioning = false)"
        rows = read if parts.exists() else f"(FROM keyed_{name} LIMIT 0)"
        path = bucket_file(folder.parent, name, bucket)
        path.parent.mkdir(parents=True)
        connection.execute(
            f"COPY (FROM {rows} ORDER BY ALL) TO '{path}'"
            f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
        )
    shutil.rmtree(split, ignore_errors=True)


def _digest(connection: duckdb.DuckDBPyConnection) -> str:
    """A digest of the events themselves, whatever the order of their rows and of the customers' keys.

    An order without a number has one that begins with its customer's key.
    """
    total = hashlib.sha256()
    own = "starts_with(t.order_id, t.customer_key || '-')"
    order = (
        f"CASE WHEN {own} THEN substr(t.order_id, length(t.customer_key::VARCHAR) + 1) ELSE t.order_id END"
    )
    for name, schema in SCHEMAS.items():
        replaced = f" REPLACE ({order} AS order_id)" if "order_id" in schema else ""
        row = connection.execute(
            f"SELECT count(*), sum(hash(e)::HUGEINT) FROM (SELECT k.customer_id, t.* EXCLUDE (customer_key)"
            f"{replaced} FROM keyed_{name} t JOIN known_customers k USING (customer_key)) e"
        ).fetchone()
        total.update(repr(row).encode())
    return total.hexdigest()[:16]
