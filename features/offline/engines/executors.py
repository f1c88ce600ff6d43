"""Work on the executors of Spark, by the same sources as this process.

An executor imports the functions that it calls, so each task first compares its sources with the driver's.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pyarrow as pa

from core import locks
from core.errors import PatronError
from core.home import Home
from core.storage import spark_engine
from features.groups.definition_cache import digest_of_sources

if TYPE_CHECKING:
    from core.storage.spark_backend import Batches, SparkBackend

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
class Executors:
    """The executors of a session.

    Attributes:
        staging: a folder that this process and all executors see at the same path.
        sources: the digest of the sources that the executors must have.
    """

    backend: SparkBackend
    staging: Path
    sources: str

    def checked(self, function: Batches) -> SameCode:
        """A function of batches that runs on executors with the sources of this process only."""
        return SameCode(function, self.sources)

    def sum(self, count: int, function: Callable[[int], int]) -> int:
        """The sum of a function of the numbers from 0 to ``count``, each of which is a task.

        Spark calls the function again if an executor ends, so it must do the same when it is called twice.
        """
        return self.backend.sum_of_tasks(count, self.checked(EachNumber(function)))


@contextmanager
def connected_executors(home: Home, master: str, doing: str) -> Iterator[Executors]:
    """The executors of a cluster, which is disconnected at the end.

    Args:
        doing: what Spark does, after "while", for messages.

    Raises:
        PatronError: Spark cannot be used, or is working for this home already.
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
        for left in work.glob("build-*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        staging = Path(mkdtemp(prefix="build-", dir=work))
        try:
            with spark_engine.connected(master, work) as backend, failures(work, doing):
                yield Executors(backend, staging, sources())
        finally:
            shutil.rmtree(staging, ignore_errors=True)


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
