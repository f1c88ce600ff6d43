"""A build by Spark: the executors compute and write, this process puts their files together.

The executors write Parquet into a folder of the build's own, a file for each moment and range of customers.
The snapshot's one file is made of these in the order of customers, its rows are counted, and it gets its name
in one step. So a build that ends at any time leaves whole snapshots only, and the next one continues. The
files of tasks that failed have names that no result has, and are removed with the folder.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.calendar import micros
from core.home import Home
from events.schema import OPINIONS, Events
from features.offline.engines.engine import CUSTOMERS_PER_ROW_GROUP, GroupSnapshots, stamped
from features.offline.engines.exchange import read_table, remove, replacing
from features.offline.engines.executors import Cluster, Executors, connected_executors
from features.text import opinions

QUERIES = 3  # at a time: while one is planned, the executors compute others
CUSTOMERS_PER_FILE = 500_000  # which this process has in memory at once
PARTS = {"moment": "!int64", "part": "!int64", "address": "!string"}
"""The columns of what a task says about its files; moments in seconds since 1970."""


class SparkBuild:
    """Computes features by Spark."""

    max_orders_per_query = 50_000_000  # a query takes seconds, however small
    shared_inputs: Sequence[str] = ("order_lines", "activities")

    def __init__(self, executors: Executors, resources: ExitStack) -> None:
        self.backend, self.executors, self._resources = executors.backend, executors, resources

    @property
    def local(self) -> SparkBuild:
        """Itself."""
        return self

    def fetched(self, rows: ir.Table) -> ir.Table:
        """The rows."""
        return rows

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
        sorted_frame = frame.repartition(*place).sortWithinPartitions(*place, "customer_key")
        writer = self.executors.checked(PartWriter(self.executors.exchange.folder, schema))
        written = self.backend.rows_of_batches(sorted_frame, writer, ibis.schema(PARTS))
        addresses = {(row["moment"], row["part"]): row["address"] for row in written.to_pylist()}
        for snapshot in group.files:
            moment = micros(snapshot.as_of) // 1_000_000
            parts = [addresses[key] for key in sorted(addresses) if key[0] == moment]
            with files.replacing(snapshot.path) as draft:
                snapshot.check(_concatenate(parts, draft, schema))
        remove(addresses.values())


@dataclass(frozen=True)
class PartWriter:
    """Writes rows, which come in the order of their moments and parts, into a file for each moment and part;
    it is called on the executors.

    Attributes:
        folder: the address of the files' folder.
        schema: of the files.
    """

    folder: str
    schema: pa.Schema

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The moment, the part and the address of each file."""
        pieces = (piece for batch in batches for piece in _pieces(batch))
        for (moment, part), rows in groupby(pieces, key=itemgetter(0)):
            address = f"{self.folder}/{secrets.token_hex(8)}.parquet"
            with replacing(address) as file, pq.ParquetWriter(file, self.schema) as writer:
                for _, batch in rows:
                    writer.write_batch(batch.select(self.schema.names).cast(self.schema))
            yield pa.record_batch([[moment], [part], [address]], names=[*PARTS])


def _pieces(batch: pa.RecordBatch) -> Iterator[tuple[tuple[int, int], pa.RecordBatch]]:
    """The rows of each moment and part in a batch that is in their order."""
    places = np.column_stack([batch["moment"].to_numpy(), batch["part"].to_numpy()])
    starts = np.flatnonzero(np.any(np.diff(places, axis=0, prepend=places[:1] - 1), axis=1))
    for start, end in zip(starts, [*starts[1:], len(places)], strict=True):
        yield (int(places[start, 0]), int(places[start, 1])), batch.slice(start, end - start)


@dataclass(frozen=True)
class OpinionBatches:
    """Reads the opinions in batches of activities; it is called on the executors."""

    reader: opinions.TextReader

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The opinions of each batch."""
        for batch in batches:
            yield from self.reader.opinions(pa.Table.from_batches([batch])).to_batches()


@contextmanager
def spark_build(home: Home, cluster: Cluster) -> Iterator[SparkBuild]:
    """An engine on a cluster, which is disconnected at the end; see :func:`connected_executors`."""
    with (
        connected_executors(home, cluster, "it computed features") as executors,
        ExitStack() as resources,
    ):
        yield SparkBuild(executors, resources)


def _concatenate(parts: Sequence[str], draft: Path, schema: pa.Schema) -> int:
    """Write files one after the other into one; returns the number of rows."""
    rows = 0
    with pq.ParquetWriter(draft, schema) as writer:
        for part in parts:
            table = read_table(part)
            writer.write_table(table, CUSTOMERS_PER_ROW_GROUP)
            rows += table.num_rows
    return rows
