"""Score jobs: the scores of everybody in a segment, kept in columns.

A job is a folder ``score-jobs/ID`` of the home. ``job.json`` says what is asked, ``customers`` (8 bytes each)
of whom, and each chunk of them that was scored is a Parquet file, put there in one step. So whatever ends a
job's process, those parts stay, and the rest is still to be done. :mod:`records.job_parts` writes them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core import files, locks
from core.errors import NothingThere, PatronError
from core.home import Home

MOST_JOBS = 40  # kept, with their files and what the log has of them: a month of one a day, and some
CHUNK = 25_000  # customers of a part; what is held in memory at a time
COMMAND, SERVICE = "command", "service"
KEY, AS_OF = "customer_key", "as_of"
BOUNDS = ("low", "high")  # of money, where the model tells them
_LOCK, _STOP = "going-on", "stop"
_DEAD_SECONDS = 86_400.0  # after which nobody writes a draft any more
_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Job:
    """A job as it stands.

    Attributes:
        status: ``running``, ``done``, ``failed`` (``error`` says why), ``stopped`` by somebody, or
            ``interrupted``: its process ended, and it can go on where it was.
        at: when it began, by the shop's clock. order: the same in nanoseconds of this machine's.
        segment: who is scored, such as ``country:DE``; None for everybody.
        models: per model the version that answers, from the first customer to the last.
        absent: per model that was asked for and has none, why.
        origin: ``command`` or ``service``, which goes on with its own when it starts.
        caller: the name of the key with which it was asked for; None where there was none.
        total: its customers. done: those in parts that are there.
    """

    id: str
    status: str
    error: str | None
    at: datetime
    order: int
    segment: str | None
    models: Mapping[str, str]
    absent: Mapping[str, str]
    origin: str
    caller: str | None
    chunk: int
    total: int
    done: int = 0

    @property
    def chunks(self) -> int:
        """How many parts it has when it is done."""
        return -(-self.total // self.chunk)


class JobGoesOn(PatronError):
    """There is a job already."""


class Interrupted(Exception):
    """Raised inside :func:`carrying_out` to leave a job as it is, for another process to go on with."""


class Stopped(Exception):
    """Raised inside :func:`carrying_out` to end a job for good."""


def begin(
    home: Home,
    keys: Iterable[NDArray[np.int64]],
    at: datetime,
    models: Mapping[str, str],
    absent: Mapping[str, str],
    *,
    segment: str | None,
    origin: str,
    caller: str | None = None,
) -> Job:
    """Write down a new job, to be carried out; the oldest of ``MOST_JOBS`` makes room.

    Args:
        keys: of its customers, in ascending order, some at a time.
    """
    job_id = uuid.uuid4().hex
    draft = home.score_jobs / f"{job_id}.draft"
    try:
        draft.mkdir(parents=True)
        with open(draft / "customers", "wb") as file:
            total = sum(file.write(some.astype("<i8").tobytes()) for some in keys) // 8
        if not total:
            shutil.rmtree(draft)
            raise NothingThere("there is nobody to score: no customer is in it who has an id")
        job = Job(
            job_id, "running", None, at, time.time_ns(), segment, dict(models), dict(absent), origin, caller,
            CHUNK, total,
        )  # fmt: skip
        _write(draft, job)
        os.replace(draft, home.score_jobs / job_id)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise PatronError(f"the folder {home.score_jobs} cannot be written: {error}") from error
    _drop_old(home)
    return job


def find(home: Home, job_id: str) -> Job | None:
    """The job of that id, where it is among those kept."""
    if not _ID.fullmatch(job_id):
        return None
    try:
        job = _read(home, job_id)
    except FileNotFoundError:
        return None
    if job.status == "running" and going_on(home) != job_id:
        # Its end is written before the lock is given up, so it may have ended in between.
        with suppress(FileNotFoundError):
            job = _read(home, job_id)
        if job.status == "running":
            job = replace(job, status="interrupted")
    return replace(job, done=_done(home, job))


def listed(home: Home) -> list[Job]:
    """All that are kept, the newest first."""
    folders = home.score_jobs.iterdir() if home.score_jobs.is_dir() else ()
    found = [find(home, folder.name) for folder in folders]
    return sorted((job for job in found if job is not None), key=lambda job: -job.order)


def going_on(home: Home) -> str | None:
    """The id of the job that a living process carries out; "" where that one has just begun."""
    try:
        with open(home.score_jobs / _LOCK) as lock:
            return None if locks.acquire(lock, shared=True) else (home.score_jobs / _LOCK).read_text()
    except FileNotFoundError:
        return None


def refuse_another(home: Home) -> None:
    """Make sure that no job goes on.

    Raises:
        JobGoesOn: one does.
    """
    other = going_on(home)
    if other is not None:
        raise JobGoesOn(f"the job {other} goes on, and there is one at a time; ask again when it is done")


@contextmanager
def carrying_out(home: Home, job: Job) -> Iterator[None]:
    """The work on a job, one at a time per home; its end is written down however it ends.

    Raises:
        JobGoesOn: another one is carried out.
    """
    home.score_jobs.mkdir(parents=True, exist_ok=True)
    with open(home.score_jobs / _LOCK, "a+") as lock:
        while not locks.acquire(lock):  # also while somebody looks, for microseconds
            refuse_another(home)
            time.sleep(0.001)
        lock.truncate(0)
        lock.write(job.id)
        lock.flush()
        folder = home.score_jobs / job.id
        _write(folder, replace(job, status="running", error=None))
        try:
            yield
        except Interrupted:
            return
        except Stopped:
            _write(folder, replace(job, status="stopped"))
        except Exception as raised:
            known = isinstance(raised, PatronError)
            error = str(raised) if known else f"unexpected {type(raised).__name__}"
            _write(folder, replace(job, status="failed", error=error))
            raise
        else:
            _write(folder, replace(job, status="done"))


def stop(home: Home, job: Job) -> None:
    """End a job: whichever process carries it out leaves it after the chunk that it is at."""
    (home.score_jobs / job.id / _STOP).touch()
    if job.status == "interrupted":
        _write(home.score_jobs / job.id, replace(job, status="stopped"))


def is_to_stop(home: Home, job: Job) -> bool:
    """Whether somebody ended it."""
    return (home.score_jobs / job.id / _STOP).exists()


def customers(home: Home, job: Job, chunk: int) -> NDArray[np.int64]:
    """The keys of a chunk's customers."""
    start = chunk * job.chunk
    count = min(job.chunk, job.total - start)
    return np.fromfile(home.score_jobs / job.id / "customers", "<i8", count, offset=8 * start)


def open_chunks(home: Home, job: Job) -> list[int]:
    """The chunks that have no part yet, or one that a power cut damaged."""
    return [chunk for chunk in range(job.chunks) if not _whole(part(home, job, chunk))]


def part(home: Home, job: Job, chunk: int) -> Path:
    """The file of a chunk's answers."""
    return home.score_jobs / job.id / f"part-{chunk:05}.parquet"


def _whole(path: Path) -> bool:
    try:
        return bool(pq.read_metadata(path).num_row_groups)
    except (OSError, pa.ArrowException):
        return False


def _done(home: Home, job: Job) -> int:
    last = job.chunks - 1
    there = [chunk for chunk in range(job.chunks) if part(home, job, chunk).exists()]
    short = job.chunks * job.chunk - job.total if last in there else 0
    return len(there) * job.chunk - short


def _read(home: Home, job_id: str) -> Job:
    path = home.score_jobs / job_id / "job.json"
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        return Job(**told | {"at": datetime.fromisoformat(told["at"])})
    except (ValueError, KeyError, TypeError) as error:
        raise PatronError(f"{path} is damaged; remove its folder") from error


def _write(folder: Path, job: Job) -> None:
    told = asdict(job) | {"at": job.at.isoformat()}
    del told["done"]
    files.replace(folder / "job.json", json.dumps(told, indent=1))


def _drop_old(home: Home) -> None:
    """Keep the newest ``MOST_JOBS``, and the one that goes on; drafts that nobody writes go too."""
    for job in listed(home)[MOST_JOBS:]:
        if job.status != "running":
            shutil.rmtree(home.score_jobs / job.id, ignore_errors=True)
    for draft in home.score_jobs.glob("*.draft"):
        if time.time() - draft.stat().st_mtime > _DEAD_SECONDS:
            shutil.rmtree(draft, ignore_errors=True)
