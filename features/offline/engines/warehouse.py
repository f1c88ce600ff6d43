"""A build by the warehouse that has the events: it computes, and the values arrive in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core import files
from core.home import Home
from events import lake
from events.schema import OPINIONS, Events
from features.offline.engines.duckdb import DuckDbBuild
from features.offline.engines.engine import CUSTOMERS_PER_ROW_GROUP, GroupSnapshots, SnapshotFile, stamped
from features.text import opinions


class WarehouseBuild:
    """Computes features in the warehouse of a home."""

    max_orders_per_query = 20_000_000
    shared_inputs: Sequence[str] = ("order_lines",)
    executors = None

    def __init__(self, home: Home) -> None:
        self.backend: Any = lake.backend_of(home)
        self._home = home

    @cached_property
    def local(self) -> DuckDbBuild:
        """DuckDB, in this process."""
        return DuckDbBuild(self._home)

    def fetched(self, rows: ir.Table) -> ir.Table:
        """The rows in memory."""
        return ibis.memtable(self.backend.to_pyarrow(rows))

    def with_opinions(self, events: Events, reader: opinions.TextReader) -> Events:
        """The event tables with the opinions in the texts of activities, which are read in batches."""
        batches = self.backend.to_pyarrow_batches(opinions.with_text(events))
        read = [reader.opinions(pa.Table.from_batches([batch])) for batch in batches]
        known = pa.concat_tables([ibis.schema(OPINIONS).to_pyarrow().empty_table(), *read])
        return replace(events, opinions=ibis.memtable(known))

    def write(self, tables: Iterable[GroupSnapshots]) -> None:
        """Write each table into a file for each moment, each in one step."""
        for group in tables:
            table = stamped(group.values).order_by("as_of", "customer_key")
            schema = table.schema().to_pyarrow()
            missing = {snapshot.as_of: snapshot for snapshot in group.files}
            for as_of, parts in groupby(_by_moment(self.backend.to_pyarrow_batches(table)), itemgetter(0)):
                _write(missing.pop(as_of), schema, (rows for _, rows in parts))
            for snapshot in missing.values():
                _write(snapshot, schema, ())


def _by_moment(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[datetime, pa.RecordBatch]]:
    """The rows of each moment in each batch."""
    for batch in batches:
        for as_of in pc.unique(batch["as_of"]):
            yield as_of.as_py(), batch.filter(pc.equal(batch["as_of"], as_of))


def _write(snapshot: SnapshotFile, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    rows = 0
    with files.replacing(snapshot.path) as draft:
        with pq.ParquetWriter(draft, schema) as writer:
            for batch in batches:
                writer.write_batch(batch, CUSTOMERS_PER_ROW_GROUP)
                rows += batch.num_rows
        snapshot.check(rows)
