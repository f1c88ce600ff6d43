"""A build by DuckDB, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core import files
from core.home import Home
from core.storage import duckdb_engine
from events.schema import Events
from features.offline.engines.engine import CUSTOMERS_PER_ROW_GROUP, GroupSnapshots, stamped
from features.text import opinions


class DuckDbBuild:
    """Computes features by DuckDB; data that does not fit into memory is in the home meanwhile."""

    max_orders_per_query = 1_000_000
    shared_inputs: Sequence[str] = ("order_lines",)
    executors = None

    def __init__(self, home: Home) -> None:
        self.backend = duckdb_engine.connect(home.path, duckdb_engine.MAX_MEMORY)

    def with_opinions(self, events: Events, reader: opinions.TextReader) -> Events:
        """The event tables with the opinions in the texts of activities."""
        return opinions.with_opinions(self.backend, events, reader)

    def write(self, tables: Iterable[GroupSnapshots]) -> None:
        """Write each table into a file for each moment, each in one step."""
        for group in tables:
            # Through Arrow, with the types that Ibis declares; DuckDB's own differ (a sum is a HUGEINT).
            table = self.backend.to_pyarrow(stamped(group.values).order_by("customer_key"))
            for snapshot in group.files:
                rows = table.filter(pc.equal(table["as_of"], pa.scalar(snapshot.as_of, table["as_of"].type)))
                snapshot.check(rows.num_rows)
                with files.replacing(snapshot.path) as draft:
                    pq.write_table(rows, draft, CUSTOMERS_PER_ROW_GROUP)
