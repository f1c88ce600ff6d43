"""A build by Spark: the executors compute and write, this process puts their files together.

The executors write Parquet into a folder of the build's own, divided by moment and by ranges of customers.
The snapshot's one file is made of these in the order of customers, its rows are counted, and it gets its name
in one step. So a build that ends at any time leaves whole snapshots only, and the next one continues.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from core import files, locks
from core.calendar import micros
from core.errors import PatronError
from core.home import Home
from core.storage import spark_engine
from events.schema import OPINIONS, Events
from features.groups.definition_cache import digest_of_sources
from features.offline.engines.engine import SnapshotFile, stamped
from features.text import opinions

if TYPE_CHECKING:
    from core.storage.spark_backend import SparkBackend

CUSTOMERS_PER_FILE = 500_000  # which this process has in memory at once
OTHER_CODE = "other sources than those of the build"


class SparkBuild:
    """Computes features by Spark.

    Args:
        staging: a folder that this process and all executors see at the same path.
        sources: the digest of the sources that the executors must have.
    """

    max_orders_per_query = 50_000_000  # a query takes seconds, however small

    def __init__(self, backend: SparkBackend, staging: Path, sources: str, resources: ExitStack) -> None:
        self.backend, self._staging, self._sources, self._resources = backend, staging, sources, resources

    def with_opinions(self, events: Events, reader: opinions.TextReader) -> Events:
        """The event tables with the opinions in the texts of activities, which the executors read."""
        read = self.backend.map_batches(
            opinions.with_text(events), OpinionBatches(reader, self._sources), ibis.schema(OPINIONS)
        )
        return replace(events, opinions=self._resources.enter_context(read.cache()))

    def write(self, values: ir.Table, snapshots: Sequence[SnapshotFile]) -> None:
        """Write values into a file for each moment, each in one step."""
        table = stamped(values)
        schema = table.schema().to_pyarrow()
        place = {"moment": table.as_of.epoch_seconds(), "part": table.customer_key // CUSTOMERS_PER_FILE}
        frame = self.backend.frame(
            table.mutate(**{name: value.cast("int64") for name, value in place.items()})
        )
        folder = Path(mkdtemp(dir=self._staging)) / "rows"
        sorted_frame = frame.repartition(*place).sortWithinPartitions(*place, "customer_key")
        sorted_frame.write.partitionBy(*place).parquet(str(folder))
        for snapshot in snapshots:
            parts = _parts(folder / f"moment={micros(snapshot.as_of) // 1_000_000}")
            with files.replacing(snapshot.path) as draft:
                snapshot.check(_concatenate(parts, draft, schema))
        shutil.rmtree(folder.parent)


@dataclass(frozen=True)
class OpinionBatches:
    """Reads the opinions in batches of activities; it is called on the executors."""

    reader: opinions.TextReader
    sources: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The opinions of each batch.

        Raises:
            RuntimeError: this machine has other sources.
        """
        if digest_of_sources() != self.sources:
            raise RuntimeError(OTHER_CODE)
        for batch in batches:
            yield from self.reader.opinions(pa.Table.from_batches([batch])).to_batches()


@contextmanager
def spark_build(home: Home, master: str) -> Iterator[SparkBuild]:
    """An engine on a cluster, which is disconnected at the end.

    Raises:
        PatronError: Spark cannot be used, or another build by Spark is running.
    """
    home.shop()  # raises if there is none
    work = home.path / "spark"
    try:
        work.mkdir(exist_ok=True)
        lock = open(work / "lock", "wb")  # noqa: SIM115
    except OSError as error:
        raise PatronError(f"{work} cannot be written; Spark's temporary files are there") from error
    with lock:
        if not locks.acquire(lock):
            raise PatronError(
                f"another build by Spark is running in {home.path}; try again when it has finished"
            )
        for left in work.glob("build-*"):  # by a build that was killed
            shutil.rmtree(left, ignore_errors=True)
        staging = Path(mkdtemp(prefix="build-", dir=work))
        try:
            with (
                spark_engine.connected(master, work) as backend,
                failures(work),
                ExitStack() as resources,
            ):
                yield SparkBuild(backend, staging, digest_of_sources(), resources)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def failures(work: Path) -> Iterator[None]:
    """Raise the failures of a build by Spark as errors for people."""
    try:
        with spark_engine.failures("it computed features", work):
            yield
    except PatronError as error:
        if OTHER_CODE in str(error.__cause__):
            raise PatronError(
                "the executors have another version of Patron than this process; install the same version on"
                " every machine of the cluster"
            ) from error
        raise


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
            writer.write_table(table)
            rows += table.num_rows
    return rows
