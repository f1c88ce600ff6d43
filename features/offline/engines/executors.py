"""Work on the executors of Spark, by the same sources as this process.

An executor imports the functions that it calls, so each task first compares its sources with the driver's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from core import locks
from core.errors import PatronError
from core.home import Home
from core.storage import spark_engine
from features.groups.definition_cache import digest_of_sources
from features.offline.engines.exchange import FileExchange, PieceBatches, divide, open_exchange

if TYPE_CHECKING:
    from core.storage.spark_backend import Batches, ReadTasks, SparkBackend

PACKAGES = ("core", "events", "features", "models", "records", "serving")
"""The packages of which executors import modules."""
OTHER_CODE = "other sources than those of the driver"


@cache
def sources() -> str:
    """The digest of the sources of this machine."""
    return digest_of_sources(packages=PACKAGES)


@dataclass(frozen=True)
class SameCode:
    """A function of batches that an executor calls if its sources are the driver's."""

    function: Batches
    sources: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches of the function.

        Raises:
            RuntimeError: this machine has other sources.
        """
        if sources() != self.sources:
            raise RuntimeError(OTHER_CODE)
        yield from self.function(batches)


@dataclass(frozen=True)
class EachNumber:
    """A function of numbers as one of batches, which have the sum of its results."""

    function: Callable[[int], int]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The results of the numbers in the first column of each batch."""
        for batch in batches:
            results = [self.function(number) for number in batch.column(0).to_pylist()]
            yield pa.record_batch({"result": pa.array(results, pa.int64())})


@dataclass(frozen=True)
class Cluster:
    """Where Spark works.

    Attributes:
        master: its address, such as ``spark://host:7077``, or ``local[*]`` for this machine.
        storage: the address, by fsspec, of a folder in which files are exchanged; None if all machines have
            the home at one path.
    """

    master: str
    storage: str | None = None


@dataclass(frozen=True)
class Executors:
    """The executors of a session.

    Attributes:
        exchange: the files that they exchange with this process.
        sources: the digest of the sources that the executors must have.
    """

    backend: SparkBackend
    exchange: FileExchange
    sources: str

    def checked(self, function: Batches) -> SameCode:
        """A function of batches that runs on executors with the sources of this process only."""
        return SameCode(function, self.sources)

    def read_tasks(self, paths: Sequence[Path]) -> ReadTasks:
        """The tasks that read Parquet files of the home from the storage."""
        from core.storage.spark_backend import ReadTasks

        schema, tasks = divide(paths, self.exchange.publish(paths))
        return ReadTasks(len(tasks), self.checked(PieceBatches(tasks, schema.to_pyarrow())), schema)

    def sum(self, count: int, function: Callable[[int], int]) -> int:
        """The sum of a function of the numbers from 0 to ``count``, each of which is a task.

        Spark calls the function again if an executor ends, so it must do the same when it is called twice.
        """
        return self.backend.sum_of_tasks(count, self.checked(EachNumber(function)))


@contextmanager
def connected_executors(home: Home, cluster: Cluster, doing: str) -> Iterator[Executors]:
    """The executors of a cluster, which is disconnected at the end.

    Args:
        doing: what Spark does, after "while", for messages.

    Raises:
        PatronError: Spark or the storage cannot be used, or Spark is working for this home already.
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
            raise PatronError(f"another command uses Spark in {home.path}; try again when it has finished")
        with (
            open_exchange(home, work, cluster.storage) as exchange,
            spark_engine.connected(cluster.master, work) as backend,
            failures(work, doing),
        ):
            executors = Executors(backend, exchange, sources())
            backend.tasks_of = executors.read_tasks if exchange.is_remote else None
            yield executors


@contextmanager
def failures(work: Path, doing: str) -> Iterator[None]:
    """Raise Spark's failures as errors for people; arguments as in :func:`connected_executors`."""
    try:
        with spark_engine.failures(doing, work):
            yield
    except PatronError as error:
        if any(text in str(error.__cause__) for text in (OTHER_CODE, "ModuleNotFoundError")):
            raise PatronError(
                "the executors have another version of Patron than this process, or none; install the same"
                " version on every machine of the cluster"
            ) from error
        raise
