"""A build by DuckDB, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core import files
from core.home import Home
from core.storage import duckdb_engine
from events.schema import Events
from features.offline.engines.engine import CUSTOMERS_PER_ROW_GROUP, GroupSnapshots, SnapshotFile, stamped
from features.text import opinions


class DuckDbBuild:
    """Computes features by DuckDB; data that does not fit into memory is in the home meanwhile."""

    max_orders_per_query = 2_500_000
    shared_inputs: Sequence[str] = ("order_lines",)
    executors = None

    def __init__(self, home: Home) -> None:
        self.backend = duckdb_engine.connect(home.path, duckdb_engine.MAX_MEMORY)

    @property
    def local(self) -> DuckDbBuild:
        """Itself."""
        return self

    def fetched(self, rows: ir.Table) -> ir.Table:
        """The rows."""
        return rows

    def with_opinions(self, events: Events, reader: opinions.TextReader) -> Events:
        """The event tables with the opinions in the texts of activities."""
        return opinions.with_opinions(self.backend, events, reader)

    def write(self, tables: Iterable[GroupSnapshots]) -> None:
        """Write each table into a file for each moment, each in one step.

        While one is computed, the next is compiled and the last is written.
        """
        with ThreadPoolExecutor(2, "snapshots") as pool:
            groups = [(stamped(group.values).order_by("customer_key"), group.files) for group in tables]
            compiled = [pool.submit(self.backend.compile, values) for values, _ in groups]
            writing: Future[None] | None = None
            for (values, snapshots), sql in zip(groups, compiled, strict=True):
                duckdb_engine.register_inputs(self.backend, values)
                rows = self.backend.con.execute(sql.result()).to_arrow_table()
                if writing is not None:
                    writing.result()
                # With the types that Ibis declares; DuckDB's own differ (a sum is a HUGEINT).
                writing = pool.submit(_write, rows.cast(values.schema().to_pyarrow()), snapshots)
            if writing is not None:
                writing.result()


def _write(rows: pa.Table, snapshots: Iterable[SnapshotFile]) -> None:
    """Write the rows of each moment into its file."""
    for snapshot in snapshots:
        of_moment = rows.filter(pc.equal(rows["as_of"], pa.scalar(snapshot.as_of, rows["as_of"].type)))
        snapshot.check(of_moment.num_rows)
        with files.replacing(snapshot.path) as draft:
            pq.write_table(of_moment, draft, CUSTOMERS_PER_ROW_GROUP)
