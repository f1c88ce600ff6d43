"""The work of a score job: everybody in a segment, chunk by chunk, in columns."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from core.calendar import day_of, micros
from core.errors import PatronError
from core.progress import Progress, silent
from features.catalogue.store import OnlineReader
from features.offline.current import members
from features.offline.existing_customers import ExistingCustomers
from models.registry.bundle import FittedModel
from models.registry.registry import Registry
from records import history, job_parts, score_jobs
from records.job import Segment, filters_of
from records.score_jobs import ScoreJob, ScoreJobStore
from serving.scores.batches.columns import score_columns
from serving.scores.champions import Champions
from serving.totals import of_job


def create_job(
    store: ScoreJobStore,
    champions: Champions,
    models: Sequence[str],
    *,
    segment: Segment,
    origin: str,
    caller: str | None = None,
    job_id: str | None = None,
) -> ScoreJob:
    """Store a job for everybody in a segment, with the present champions.

    Raises:
        NoSuchSegment: there is no such segment; the text says which there are.
        NothingThere: there are no customers.
        PatronError: no model has a champion.
    """
    versions, absent = versions_of(champions, models)
    keys = ExistingCustomers(store.home).everyone(score_jobs.CHUNK)
    if segment is not None:
        keys = _within(keys, members(store.home, filters_of(segment)))
    at = store.home.shop().now()
    job = ScoreJob(at=at, segment=segment, origin=origin, caller=caller, models=versions, absent=absent)
    if job_id is not None:
        job = replace(job, id=job_id)
    return store.create(job, keys)


def score_job(
    store: ScoreJobStore,
    job: ScoreJob,
    champions: Champions,
    threads: int,
    shutdown: threading.Event | None = None,
    progress: Progress = silent,
) -> None:
    """Score the chunks of a job that are not done, in several threads, each a chunk at a time.

    At the end it computes the totals of the shop and its segments.

    Raises:
        Interrupted: ``shutdown`` was set.
        Stopped: the job was stopped.
        PatronError: a model's version cannot be opened any more, or a store is missing or unreadable.
    """
    models = open_models(store, job, champions)
    features = dict.fromkeys(name for model in models for name in model.features)
    reader = champions.store.patient_reader([*features])
    chunks = store.open_chunks(job)
    done_before = job.chunks - len(chunks)
    work = partial(_score_chunk, store, job, models, reader, shutdown or threading.Event())
    # Parallel chunks, each in one thread, keep all cores at work also while cells and files are read.
    with ThreadPoolExecutor(threads, "score-job") as pool:
        for done, _ in enumerate(pool.map(work, chunks)):
            progress("scoring", (done_before + done + 1) / job.chunks)
    of_job.write(store, job, models)


def versions_of(champions: Champions, models: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Per model with a champion its version, and per model without one why.

    Raises:
        PatronError: none has a champion.
    """
    versions = {name: champions.models[name].version for name in models if name in champions.models}
    absent = {name: champions.unavailable[name] for name in models if name in champions.unavailable}
    if not versions:
        raise PatronError("; ".join(absent.values()))
    return versions, absent


def _score_chunk(
    store: ScoreJobStore,
    job: ScoreJob,
    models: Sequence[FittedModel],
    reader: OnlineReader,
    shutdown: threading.Event,
    chunk: int,
) -> None:
    store.check(job, shutdown)
    keys = store.chunk_customers(job, chunk)
    rows = score_columns(models, keys, reader.columns(reader.fetch(keys.tolist())))
    shop = store.home.shop()
    now = shop.now()
    metadata = {
        "at_us": micros(now),
        "day": day_of(now, shop.time_zone),
        "after": history.latest(store.home),
    }
    job_parts.write(store, job, chunk, rows, metadata)


def _within(everyone: Iterator[NDArray[np.int64]], inside: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for keys in everyone:
        yield keys[np.isin(keys, inside)]


def open_models(store: ScoreJobStore, job: ScoreJob, champions: Champions) -> list[FittedModel]:
    """The versions with which a job began.

    Raises:
        PatronError: one cannot be opened, or was fitted on other feature definitions than the store has now.
    """
    models, definitions = [], champions.store.definitions()
    for name, version in job.models.items():
        model = champions.models.get(name)
        if model is None or model.version != version:
            model = Registry(store.home).open(name, version)
        model.check_definitions(definitions)
        models.append(model)
    return models
