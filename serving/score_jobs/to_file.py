"""The command that scores everybody into a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from core.storage.database import Database
from features.offline.engines.executors import Cluster, connected_executors
from records.job import COMMAND, Segment
from records.score_jobs import ScoreJob, ScoreJobStore
from serving.files import tables, writing
from serving.score_jobs.by_spark import score_job as score_by_spark
from serving.score_jobs.scoring import create_job, score_job, versions_of
from serving.scores.champions import Champions
from serving.scores.scorer import open_scorer


def score_everyone(
    home: Home,
    out: Path,
    models: Sequence[str],
    progress: Progress = silent,
    *,
    segment: Segment = None,
    job_id: str | None = None,
    cluster: Cluster | None = None,
) -> dict[str, Any]:
    """Score a segment, or all customers, into ``out`` (.parquet, .ndjson, .csv or .xlsx) and into the log.

    A job of the same request that was interrupted on the same day of the shop is resumed.

    Args:
        job_id: the job to resume, or whose file is written, whatever its request was.
        cluster: the Spark that scores; None for threads of this process.

    Returns:
        The job's id, how many customers were scored, how many of them before this call, the models with a
        champion, and per model without one why.

    Raises:
        PatronError: the file's kind is unknown; else as for :func:`score_all`.
    """
    writing.check_place(out, tables.KINDS)
    job = score_all(home, models, progress, segment=segment, job_id=job_id, cluster=cluster)
    store = ScoreJobStore(home)
    writing.write(tables.stream(store, job, tables.kind_of(out)), out)
    progress("scoring", 1.0)
    return {
        "job_id": job.id, "customers": job.total, "already_scored": job.done, "out": str(out),
        "models": list(job.models), "absent": dict(job.absent),
    }  # fmt: skip


def score_all(
    home: Home,
    models: Sequence[str],
    progress: Progress = silent,
    *,
    segment: Segment = None,
    job_id: str | None = None,
    cluster: Cluster | None = None,
) -> ScoreJob:
    """The same without a file: only the log and the totals are written.

    Raises:
        PatronError: the segment or the job is unknown, no model has a champion, another job is running, or a
            store is missing.
    """
    progress("opening models", 0.0)
    home.shop()  # before tables are made where there is no shop
    Database(home).prepare()
    champions = open_scorer(home, None).champions
    store = ScoreJobStore(home)
    job = _job(store, champions, models, segment) if job_id is None else store.find(job_id)
    if job is None:
        raise PatronError(f"there is no job {job_id!r} in {home.score_jobs}; leave --job out for a new one")
    if job.status != "done":
        with store.execute(job):
            if cluster is None:
                score_job(store, job, champions, os.cpu_count() or 1, progress=progress)
            else:
                with connected_executors(home, cluster, "it computed scores") as executors:
                    score_by_spark(store, job, champions, executors)
        if store.is_stopped(job):
            raise PatronError(f"the job {job.id} was stopped; leave --job out for a new one")
    return job


def _job(store: ScoreJobStore, champions: Champions, models: Sequence[str], segment: Segment) -> ScoreJob:
    """Today's interrupted job of the same request, or a new one."""
    versions, _ = versions_of(champions, models)
    interrupted = store.interrupted_command(segment=segment, models=versions)
    if interrupted is not None:
        return interrupted
    store.refuse_if_running()
    return create_job(store, champions, models, segment=segment, origin=COMMAND)
