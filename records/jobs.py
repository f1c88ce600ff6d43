"""Background jobs: work on many customers that outlives the process which does it.

A job is a folder ``ID`` below the folder of its kind: ``job.json`` contains the request and the status,
``customers`` the keys of the customers in their order (8 bytes each, little-endian). One job of a kind runs
at a time: its process holds a lock on the file ``going-on``, which contains the job's id. A job with the
status ``running`` whose lock is free was interrupted, and can be resumed.

A kind of job is a subclass of :class:`JobStore` and of :class:`Job`. The subclass records which customers
are done, so that a resumed job continues where it stopped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from core import files, locks
from core.calendar import day_of
from core.errors import NothingThere, PatronError, in_words
from core.home import Home
from records.job import COMMAND, Interrupted, Job, JobRunning, Stopped

KEY_BYTES = 8
_LOCK, _STOP = "going-on", "stop"
_DEAD_SECONDS = 86_400.0  # after this, the writer of a draft is taken to be dead
_ID = re.compile("[0-9a-f]{32}")


JobT = TypeVar("JobT", bound=Job)


class JobStore(ABC, Generic[JobT]):
    """The jobs of one kind in a home.

    Args:
        folder: the folder of the kind. record: the class of its jobs.

    Attributes:
        noun: the name of the kind in messages.
        max_jobs: the maximum number of stored jobs; a new job replaces the oldest one that is not running.
        no_customers: the error message for a job without customers; None if such jobs are allowed.
    """

    noun: ClassVar[str]
    max_jobs: ClassVar[int]
    no_customers: ClassVar[str | None] = None

    def __init__(self, home: Home, folder: Path, record: type[JobT]) -> None:
        self.home, self.folder, self._record = home, folder, record

    @abstractmethod
    def count_done(self, job: JobT) -> int:
        """The number of customers whose results are stored."""

    def delete_results(self, job_id: str) -> None:
        """Delete a job's results outside its folder."""

    def superseded(self, jobs: Sequence[JobT]) -> Sequence[JobT]:
        """The jobs to delete, of all jobs with the newest first."""
        return jobs[self.max_jobs :]

    def create(self, job: JobT, keys: Iterable[NDArray[np.int64]]) -> JobT:
        """Store a new job, not yet executed; the oldest jobs beyond ``max_jobs`` are deleted.

        Args:
            keys: the keys of its customers, in batches.

        Raises:
            NothingThere: there are no customers, and the kind requires some.
            PatronError: the folder cannot be written.
        """
        draft = self.folder / f"{job.id}.draft"
        try:
            draft.mkdir(parents=True)
            with open(draft / "customers", "wb") as file:
                total = sum(file.write(batch.astype("<i8").tobytes()) for batch in keys) // KEY_BYTES
                os.fsync(file.fileno())
            if not total and self.no_customers is not None:
                raise NothingThere(self.no_customers)
            job = replace(job, total=total)
            write_job(draft, job)
            os.replace(draft, self.folder / job.id)
        except OSError as error:
            raise PatronError(f"the folder {self.folder} cannot be written: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._delete_old()
        return job

    def find(self, job_id: str) -> JobT | None:
        """The job with that id; None if there is none."""
        job = self._read(job_id)
        if job is not None and job.status == "running" and self.running_id() != job_id:
            job = self._read(job_id) or job  # its last status is written before its lock is released
            if job.status == "running":
                job = replace(job, status="interrupted")
        return None if job is None else replace(job, done=self.count_done(job))

    def list_jobs(self) -> list[JobT]:
        """All stored jobs, the newest first."""
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        jobs = [job for folder in folders if (job := self.find(folder.name)) is not None]
        return sorted(jobs, key=lambda job: -job.order)

    def interrupted_command(self, **request: Any) -> JobT | None:
        """The newest interrupted job of the command line with these fields, from the shop's present day."""
        shop = self.home.shop()
        fields = request | {"status": "interrupted", "origin": COMMAND}
        for job in self.list_jobs():
            same = all(getattr(job, name) == value for name, value in fields.items())
            if same and day_of(job.at, shop.time_zone) == shop.today():
                return job
        return None

    def running_id(self) -> str | None:
        """The id of the job that a living process executes; "" if it has not written the id yet."""
        try:
            with open(self.folder / _LOCK) as lock:
                return None if locks.acquire(lock, shared=True) else lock.read()
        except FileNotFoundError:
            return None

    def refuse_if_running(self) -> None:
        """Raise JobRunning if a job of this kind is running.

        A job that has its last status is done, although its lock is released only after that.
        """
        running = self.running_id()
        job = self._read(running) if running else None
        if running is not None and (job is None or job.status == "running"):
            raise JobRunning(
                f"the {self.noun} {running} is running, and one runs at a time; try again when it is done"
            )

    @contextmanager
    def execute(self, job: JobT) -> Iterator[None]:
        """A context for the work on a job, under the lock of its kind; writes the final status on exit.

        Raises:
            JobRunning: another job of this kind is running.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = self.folder / job.id
        with open(self.folder / _LOCK, "a+") as lock:
            while not locks.acquire(lock):  # a status reader holds the lock for microseconds
                self.refuse_if_running()
                time.sleep(0.001)
            lock.truncate(0)
            lock.write(job.id)
            lock.flush()
            write_job(folder, replace(job, status="running", error=None))
            try:
                yield
            except Interrupted:
                return
            except Stopped:
                write_job(folder, replace(job, status="stopped"))
            except Exception as error:
                write_job(folder, replace(job, status="failed", error=in_words(error)))
                raise
            else:
                write_job(folder, replace(job, status="done"))

    def stop(self, job: JobT) -> None:
        """Stop a job for good: the process that executes it leaves it after the current batch."""
        (self.folder / job.id / _STOP).touch()
        if job.status == "interrupted":
            write_job(self.folder / job.id, replace(job, status="stopped"))

    def is_stopped(self, job: JobT) -> bool:
        """Whether :meth:`stop` was called."""
        return (self.folder / job.id / _STOP).exists()

    def check(self, job: JobT, shutdown: threading.Event) -> None:
        """Raise, between two batches, if the job must not continue.

        Raises:
            Interrupted: the process shuts down.
            Stopped: the job was stopped.
        """
        if shutdown.is_set():
            raise Interrupted
        if self.is_stopped(job):
            raise Stopped

    def customers(self, job: JobT, start: int, count: int) -> NDArray[np.int64]:
        """The keys of up to ``count`` customers from the position ``start`` on."""
        with open(self.customers_file(job), "rb") as file:
            return read_keys(file, start, count)

    def customers_file(self, job: JobT) -> Path:
        """The file of the keys of a job's customers, for :func:`read_keys`."""
        return self.folder / job.id / "customers"

    def delete(self, job_id: str) -> None:
        """Delete a job and its results."""
        self.delete_results(job_id)
        shutil.rmtree(self.folder / job_id, ignore_errors=True)

    def _read(self, job_id: str) -> JobT | None:
        if not _ID.fullmatch(job_id):
            return None
        path = self.folder / job_id / "job.json"
        try:
            return self._record.from_json(json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise PatronError(f"{path} is damaged; remove its folder") from error

    def _delete_old(self) -> None:
        for job in self.superseded(self.list_jobs()):
            if job.status != "running":
                self.delete(job.id)
        for draft in self.folder.glob("*.draft"):
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > _DEAD_SECONDS:
                    shutil.rmtree(draft, ignore_errors=True)


def write_job(folder: Path, job: Job) -> None:
    """Write a job's ``job.json`` in one step, durably."""
    files.replace(folder / "job.json", json.dumps(job.to_json(), indent=1), durable=True)


def read_keys(file: BinaryIO, start: int, count: int) -> NDArray[np.int64]:
    """Up to ``count`` keys from the position ``start`` on, in an open file of a job's customers."""
    file.seek(KEY_BYTES * start)
    return np.frombuffer(file.read(KEY_BYTES * count), "<i8")
