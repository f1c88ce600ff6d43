"""What a page says at its top: which jobs run, and which models do not answer."""

from __future__ import annotations

from collections.abc import Iterator

from console.page import ConsolePage, JobKind, Visit
from core.errors import PatronError
from records.job import Job
from records.plans.store import PlanJob
from records.runs import DecisionRun
from serving.decisions.runs import DecisionRuns
from serving.plans.background import Plans
from serving.score_jobs.background import ScoreJobs
from serving.scores.scorer import Scorer


def notices(page: ConsolePage, visit: Visit) -> list[str]:
    """The sentences for a page. None of a store that is unavailable, which the page says itself."""
    sentences = []
    if page.jobs:
        sentences += [
            visit.words(f"running_job.{kind}", done=job.done, total=job.total)
            for kind, job in _running(visit)
            if kind in page.jobs
        ]
    if page.reads_models:
        sentences += dict.fromkeys(visit.services[Scorer].champions.unavailable.values())
    return sentences


def _running(visit: Visit) -> Iterator[tuple[JobKind, Job]]:
    """The jobs that a process executes now, with their kinds."""
    services = visit.services
    for store in (services[ScoreJobs].store, services[Plans].store, services[DecisionRuns].store):
        try:
            job = store.find(store.running_id() or "")
        except PatronError:
            continue
        if job is not None and job.status == "running":
            yield _kind(job), job


def _kind(job: Job) -> JobKind:
    if isinstance(job, DecisionRun):
        return "decisions" if job.plan is None else "release"
    return "plan" if isinstance(job, PlanJob) else "scores"
