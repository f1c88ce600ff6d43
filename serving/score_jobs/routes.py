"""Scores in bulk: a job scores everybody in a segment once, and is read as a file."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response
from fastapi.responses import StreamingResponse

from features.offline.current import NoSuchSegment
from records.job import SERVICE, JobRunning, segment_of
from records.score_jobs import ScoreJob
from serving.access.audit import audits_change, audits_look
from serving.access.authentication import CallerDep, needs
from serving.access.idempotency import IdempotencyDep, IdempotencyKey
from serving.access.scopes import Scope
from serving.files import tables
from serving.files.streaming import stream_file
from serving.files.tables import MEDIA_TYPES
from serving.http.problems import Unprocessable, leads_to, responses
from serving.http.services import service
from serving.score_jobs.background import ScoreJobs
from serving.score_jobs.schemas import FileQuery, JobList, JobRequest, JobState
from serving.scores.dependencies import ScorerDep, known_models

router = APIRouter(prefix="/v1/score-jobs", tags=["scores"], dependencies=[needs(Scope.SCORES)])
ScoreJobsDep = Annotated[ScoreJobs, service(ScoreJobs)]
# No coroutines: they read files, so each runs in a thread.
JobId = Annotated[
    str, Path(max_length=64, description="As its start named it.", examples=["3f6c1d2e9a7b4c5d"])
]
_LINKS = {
    **leads_to("read_score_job", "job_id", "How far it is.")["links"],
    **leads_to("read_score_job_file", "job_id", "The scores, once it is done.")["links"],
    **leads_to("stop_score_job", "job_id", "Its end before that.")["links"],
}


@router.post(
    "",
    status_code=202,
    operation_id="start_score_job",
    dependencies=[audits_change("started a score job")],
    response_description="The job has begun; `Location` is where it is read.",
    responses=responses(400, 409, 422, 503) | {202: {"links": _LINKS}},
)
def start(
    request: JobRequest,
    jobs: ScoreJobsDep,
    scorer: ScorerDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobState:
    """Score everybody in a segment, in the background, by the models that answer now.

    One job goes on at a time. It outlives the service: started again, that goes on where it was.
    """
    try:
        job = idempotency.start(
            request, key=idempotency_key, caller=caller, operation="start_score_job", find=jobs.store.find,
            create=lambda job_id: jobs.start(
                segment_of(request.segment), known_models(scorer, request.models), caller.name, job_id
            ),
        )  # fmt: skip
    except JobRunning as error:
        raise HTTPException(409, str(error)) from error
    except NoSuchSegment as error:
        raise Unprocessable(f"segment: {error}") from error
    response.headers["location"] = f"{router.prefix}/{job.id}"
    return _state(job)


@router.get(
    "",
    operation_id="list_score_jobs",
    response_description="The jobs, the newest first.",
    responses=responses(503),
)
def list_jobs(jobs: ScoreJobsDep) -> JobList:
    """The jobs that are kept, the newest first, also those of `patron score`."""
    return JobList(jobs=[_state(job) for job in jobs.store.list_jobs()])


@router.get(
    "/{job_id}",
    operation_id="read_score_job",
    response_description="The job as it stands.",
    responses=responses(404, 422, 503),
)
def read(job_id: JobId, jobs: ScoreJobsDep) -> JobState:
    """How far a job is."""
    return _state(_find(jobs, job_id))


@router.post(
    "/{job_id}/stop",
    status_code=202,
    operation_id="stop_score_job",
    dependencies=[audits_change("stopped a score job")],
    response_description="The job ends after the chunk that it is at.",
    responses=responses(404, 409, 422, 503),
)
def stop(job_id: JobId, jobs: ScoreJobsDep, caller: CallerDep) -> JobState:
    """End a job for good, after the chunk of customers that it is at. It has no file then.

    A key stops the jobs that it started; a key of the scope `all` stops every job.
    """
    job = _find(jobs, job_id)
    if not caller.owns(job.caller if job.origin == SERVICE else None):
        raise HTTPException(
            403, "another key or `patron score` started this job; that key or one of the scope all stops it"
        )
    if job.status not in ("running", "interrupted"):
        raise HTTPException(409, f"the job is {job.status} already")
    jobs.store.stop(job)
    return _state(_find(jobs, job_id))


@router.get(
    "/{job_id}/file",
    operation_id="read_score_job_file",
    dependencies=[audits_look("exported scores")],
    response_description="A row per customer, in the format that was asked for.",
    response_class=StreamingResponse,
    responses={
        200: {"content": {kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()}},
        **responses(404, 409, 422, 503),
    },
)
def file(job_id: JobId, query: Annotated[FileQuery, Query()], jobs: ScoreJobsDep) -> StreamingResponse:
    """The scores of a job that is done: a row per customer, in an order that stays."""
    job = _find(jobs, job_id)
    if job.status != "done":
        raise HTTPException(
            409, f"the job is {job.status}, {job.done} of {job.total}; files are of whole jobs"
        )
    chunks = tables.stream(jobs.store, job, query.format)
    return stream_file(chunks, MEDIA_TYPES[query.format], f"scores-{job.id}.{query.format}")


def _find(jobs: ScoreJobs, job_id: str) -> ScoreJob:
    job = jobs.store.find(job_id)
    if job is None:
        raise HTTPException(404, f"there is no such job; the last {jobs.store.max_jobs} are kept")
    return job


def _state(job: ScoreJob) -> JobState:
    return JobState.model_validate(
        {
            "job_id": job.id,
            "status": job.status,
            "error": job.error,
            "started_at": job.at,
            "started_by": job.caller,
            "segment": job.segment,
            "models": job.models,
            "absent": job.absent,
            "total": job.total,
            "done": job.done,
        }
    )
