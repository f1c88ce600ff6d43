"""Everyone's scores, in columns: a job's chunks, and the command that writes them into a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.calendar import day_of, micros
from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from core.storage.database import Database
from events.identity import Identity
from features.catalogue.store import OnlineReader
from features.offline.current import members
from models.registry.bundle import FittedModel
from models.registry.registry import Registry
from records import job_parts as parts
from records import predictions as scores
from records import score_jobs as jobs
from records.score_jobs import COMMAND, Job
from serving.files import tables as job_files
from serving.files import writing as files
from serving.scores.champions import Champions
from serving.scores.columns import score_columns
from serving.scores.scorer import open_scorer


def score_everyone(
    home: Home,
    out: Path,
    models: Sequence[str],
    progress: Progress = silent,
    *,
    segment: str | None = None,
    job_id: str | None = None,
) -> dict[str, Any]:
    """Score a segment, or all customers, into ``out`` (.parquet, .ndjson or .csv) and into the log.

    A job of the same question that was interrupted on the same day of the shop goes on where it was.

    Args:
        job_id: the job to go on with, or whose file is wanted, whatever its question was.

    Returns:
        The job's id, how many customers were scored, how many of them by an interrupted run of it, the
        models that answered, and per model without a champion why.

    Raises:
        PatronError: the file's kind, the segment or the job is unknown, no model has a champion, another
            job goes on, or a store is missing.
    """
    files.check_place(out, job_files.KINDS)
    progress("opening models", 0.0)
    home.shop()  # before tables are made where there is no shop
    Database(home).prepare()
    champions = open_scorer(home, None).champions
    if job_id is not None:
        job = jobs.find(home, job_id)
        if job is None:
            raise PatronError(
                f"there is no job {job_id!r} in {home.score_jobs}; leave --job out for a new one"
            )
    else:
        job = _interrupted(home, champions, models, segment)
        job = job or begin(home, champions, models, segment=segment, origin=COMMAND)
    if job.status != "done":
        carry_out(home, job, champions, os.cpu_count() or 1, progress=progress)
        if jobs.is_to_stop(home, job):
            raise PatronError(f"the job {job.id} was stopped; leave --job out for a new one")
    files.write(job_files.stream(home, job, job_files.kind_of(out)), out)
    progress("scoring", 1.0)
    return {
        "job_id": job.id, "customers": job.total, "already_scored": job.done, "out": str(out),
        "models": list(job.models), "absent": dict(job.absent),
    }  # fmt: skip


def begin(
    home: Home,
    champions: Champions,
    models: Sequence[str],
    *,
    segment: str | None,
    origin: str,
    caller: str | None = None,
) -> Job:
    """Write down a job for everybody in a segment, by the champions of this moment.

    Raises:
        NoSuchSegment: there is no such segment; the text says which there are.
        PatronError: no model has a champion, another job goes on, or nothing is there.
    """
    versions, absent = _versions(champions, models)
    jobs.refuse_another(home)
    everyone = Identity(home).everyone(jobs.CHUNK)
    keys = everyone if segment is None else _within(everyone, members(home, [segment]))
    at = home.shop().now()
    return jobs.begin(home, keys, at, versions, absent, segment=segment, origin=origin, caller=caller)


def carry_out(
    home: Home,
    job: Job,
    champions: Champions,
    threads: int,
    stop: threading.Event | None = None,
    progress: Progress = silent,
    begun: threading.Event | None = None,
) -> None:
    """Score what a job has not scored yet, in several threads, each a chunk at a time.

    Args:
        begun: set once the job is this process' own.

    Raises:
        JobGoesOn: another one is carried out.
        PatronError: a model's version cannot be opened any more, or a store is missing or unreadable.
    """
    with jobs.carrying_out(home, job):
        if begun is not None:
            begun.set()
        models = _opened(home, job, champions)
        features = dict.fromkeys(name for model in models for name in model.features)
        reader = champions.store.patient_reader([*features])
        chunks = jobs.open_chunks(home, job)
        before = job.chunks - len(chunks)
        work = partial(_score_chunk, home, job, models, reader, stop or threading.Event())
        # Chunks abreast, each by one thread, keep all cores at work also while cells and files are read.
        with ThreadPoolExecutor(threads, "score-job") as pool:
            for done, _ in enumerate(pool.map(work, chunks)):
                progress("scoring", (before + done + 1) / job.chunks)


def _score_chunk(
    home: Home,
    job: Job,
    models: Sequence[FittedModel],
    reader: OnlineReader,
    stop: threading.Event,
    chunk: int,
) -> None:
    if stop.is_set():
        raise jobs.Interrupted
    if jobs.is_to_stop(home, job):
        raise jobs.Stopped
    keys = jobs.customers(home, job, chunk)
    rows = score_columns(models, keys, reader.columns(reader.fetch(keys.tolist())))
    shop = home.shop()
    now = shop.now()
    told = {"at_us": micros(now), "day": day_of(now, shop.time_zone), "after": scores.latest(home)}
    parts.write(home, job, chunk, rows, told)


def _within(everyone: Iterator[NDArray[np.int64]], inside: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for some in everyone:
        yield some[np.isin(some, inside)]


def _versions(champions: Champions, models: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Per model that answers its version, and per model that does not, why."""
    versions = {name: champions.models[name].version for name in models if name in champions.models}
    absent = {name: champions.unavailable[name] for name in models if name in champions.unavailable}
    if not versions:
        raise PatronError("; ".join(absent.values()))
    return versions, absent


def _interrupted(home: Home, champions: Champions, models: Sequence[str], segment: str | None) -> Job | None:
    """The command's own job that asks the same, of today, and was not carried to its end."""
    versions, _ = _versions(champions, models)
    shop = home.shop()
    for job in jobs.listed(home):
        same = (job.status, job.origin, job.segment, job.models) == (
            "interrupted",
            COMMAND,
            segment,
            versions,
        )
        if same and day_of(job.at, shop.time_zone) == shop.today():
            return job
    return None


def _opened(home: Home, job: Job, champions: Champions) -> list[FittedModel]:
    """The versions that a job began with.

    Raises:
        PatronError: one cannot be opened, or learnt from other definitions than the store holds now.
    """
    found, definitions = [], champions.store.definitions()
    for name, version in job.models.items():
        model = champions.models.get(name)
        if model is None or model.version != version:
            model = Registry(home).open(name, version)
        model.check_definitions(definitions)
        found.append(model)
    return found
