"""A build by Spark: the executors compute and write, this process puts their files together.

The executors write Parquet into a folder of the build's own, divided by moment and by ranges of customers.
The snapshot's one file is made of these in the order of customers, its rows are counted, and it gets its name
in one step. So a build that ends at any time leaves whole snapshots only, and the next one continues.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.calendar import micros
from core.home import Home
from events.schema import OPINIONS, Events
from features.offline.engines.engine import CUSTOMERS_PER_ROW_GROUP, GroupSnapshots, stamped
from features.offline.engines.executors import Executors, connected_executors
from features.text import opinions

QUERIES = 3  # at a time: while one is planned, the executors compute others
CUSTOMERS_PER_FILE = 500_000  # which this process has in memory at once


class SparkBuild:
    """Computes features by Spark."""

    max_orders_per_query = 50_000_000  # a query takes seconds, however small
    shared_inputs: Sequence[str] = ("order_lines", "activities")

    def __init__(self, executors: Executors, resources: ExitStack) -> None:
        self.backend, self.executors, self._resources = executors.backend, executors, resources

    def with_opinions(self, events: Events, reader: opinions.TextReader) -> Events:
        """The event tables with the opinions in the texts of activities, which the executors read."""
        read_batches = self.executors.checked(OpinionBatches(reader))
        read = self.backend.map_batches(opinions.with_text(events), read_batches, ibis.schema(OPINIONS))
        return replace(events, opinions=self._resources.enter_context(read.cache()))

    def write(self, tables: Iterable[GroupSnapshots]) -> None:
        """Write each table into a file for each moment, each in one step; several at a time."""
        with ThreadPoolExecutor(QUERIES, "spark-query") as pool:
            for _ in pool.map(self._write, tables):
                pass

    def _write(self, group: GroupSnapshots) -> None:
        table = stamped(group.values)
        schema = table.schema().to_pyarrow()
        place = {"moment": table.as_of.epoch_seconds(), "part": table.customer_key // CUSTOMERS_PER_FILE}
        frame = self.backend.frame(
            table.mutate(**{name: value.cast("int64") for name, value in place.items()})
        )
        folder = Path(mkdtemp(dir=self.executors.staging)) / "rows"
        sorted_frame = frame.repartition(*place).sortWithinPartitions(*place, "customer_key")
        sorted_frame.write.partitionBy(*place).parquet(str(folder))
        for snapshot in group.files:
            parts = _parts(folder / f"moment={micros(snapshot.as_of) // 1_000_000}")
            with files.replacing(snapshot.path) as draft:
                snapshot.check(_concatenate(parts, draft, schema))
        shutil.rmtree(folder.parent)


@dataclass(frozen=True)
class OpinionBatches:
    """Reads the opinions in batches of activities; it is called on the executors."""

    reader: opinions.TextReader

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The opinions of each batch."""
        for batch in batches:
            yield from self.reader.opinions(pa.Table.from_batches([batch])).to_batches()


@contextmanager
def spark_build(home: Home, master: str) -> Iterator[SparkBuild]:
    """An engine on a cluster, which is disconnected at the end.

    Raises:
        PatronError: Spark cannot be used, or is working for this home already.
    """
    with (
        connected_executors(home, master, "it computed features") as executors,
        ExitStack() as resources,
    ):
        yield SparkBuild(executors, resources)


def _parts(folder: Path) -> list[Path]:
    """The files of a moment in the order of their customers."""
    folders = sorted(folder.glob("part=*"), key=lambda part: int(part.name.partition("=")[2]))
    return [file for part in folders for file in sorted(part.glob("part-*.parquet"))]


def _concatenate(parts: Sequence[Path], draft: Path, schema: pa.Schema) -> int:
    """Write files one after the other into one; returns the number of rows."""
    rows = 0
    with pq.ParquetWriter(draft, schema) as writer:
        for part in parts:
            with pq.ParquetFile(part) as opened:
                table = opened.read(schema.names).cast(schema)
            writer.write_table(table, CUSTOMERS_PER_ROW_GROUP)
            rows += table.num_rows
    return rows
