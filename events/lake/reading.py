"""Reading the history: the lake's tables, the events that arrived since, and the events of merged customers.

:mod:`events.lake.versions` says how the tables are stored. Row groups are small and sorted, so one customer's
history costs one bucket's footer and a row group or two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from core.calendar import moment
from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from events import journal
from events.identity import Identity
from events.lake.metadata import LakeMetadata
from events.lake.versions import BUCKETS, Lake, current
from events.schema import MERGES, SCHEMAS, Events


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
    version, tail, merges = _sources(home)
    tables = {name: _stored(backend, version.folder, name) for name in SCHEMAS}
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
    version = current(home)
    while True:
        tail = journal.tail(database, version.compacted_seq, customer_keys=customer_keys)
        newer = current(home)
        if newer.metadata.forgotten_seq <= version.compacted_seq:
            return version, tail
        version = newer  # what followed the older version may have left the journal by now


def _sources(home: Home) -> tuple[Lake, Mapping[str, pa.Table], ir.Table | None]:
    """The version that holds, what arrived since, and who was merged."""
    if not home.has_database:
        return current(home), {}, None
    database = Database(home)
    version, tail = arrived(home, database)
    # After the tail: a merge that is still to come is not visible yet, but a missing one would be missed.
    merged = Identity(home, database).merges()
    database.close()
    if not merged:
        return version, tail, None
    rows = [(m.customer_key, m.into, moment(m.at_us).replace(tzinfo=None)) for m in merged]
    columns = dict(zip(MERGES, map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table(columns).cast(ibis.schema(MERGES).to_pyarrow())
    return version, tail, ibis.memtable(table)


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
