"""Recommendations in bulk: a run decides once for everybody in a segment, and is read page by page."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, cast

from fastapi import APIRouter, HTTPException, Path, Query, Response
from pydantic import Field

from core.errors import PatronError
from decisions.reasons import Language
from records import runs
from records.job import SERVICE, JobRunning, segment_of
from records.runs import DecisionRun
from serving.access.audit import audits_change, audits_look
from serving.access.authentication import CallerDep, needs
from serving.access.idempotency import IdempotencyDep, IdempotencyKey
from serving.access.scopes import Scope
from serving.decisions.decider import Decider, DeciderDep
from serving.decisions.rendering import hidden_fields, rows
from serving.decisions.runs import DecisionRuns
from serving.decisions.schemas import Row, RunPage, RunQuery, RunRelease, RunRequest, RunState
from serving.files import exports
from serving.files.streaming import stream_file
from serving.http.cursors import Cursor
from serving.http.problems import Unprocessable, leads_to, responses
from serving.http.services import service

router = APIRouter(
    prefix="/v1/recommendation-runs", tags=["decisions"], dependencies=[needs(Scope.DECISIONS)]
)
RunsDep = Annotated[DecisionRuns, service(DecisionRuns)]
# No coroutines: they read files, so each runs in a thread.
RunId = Annotated[
    str, Path(max_length=64, description="As its start named it.", examples=["3f6c1d2e9a7b4c5d"])
]


class RunCursor(Cursor):
    """In the rows of a run: the place with which the page begins."""

    run_id: str
    place: int = Field(ge=0, lt=2**63)


_LINKS = {
    **leads_to("read_recommendation_run", "run_id", "How far it is, and its rows.")["links"],
    **leads_to("release_recommendation_run", "run_id", "Its contacts, once its file is sent.")["links"],
    **leads_to("undo_release_of_run", "run_id", "Its contacts no more.")["links"],
}


@router.post(
    "",
    status_code=202,
    operation_id="start_recommendation_run",
    dependencies=[audits_change("started a run")],
    response_description="The run has begun; `Location` is where it is read.",
    responses=responses(400, 409, 422, 503) | {202: {"links": _LINKS}},
)
def start(
    request: RunRequest,
    running: RunsDep,
    decider: DeciderDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RunState:
    """Decide for everybody in a segment, in the background; the answer says where to read on.

    Who has a standing decision keeps it. One run goes on at a time.
    """
    try:
        run = idempotency.start(
            request, key=idempotency_key, caller=caller, operation="start_recommendation_run",
            find=running.store.find,
            create=lambda run_id: running.start(
                segment_of(request.segment), request.channels, request.language, caller.name or "api", run_id,
                request.rule,
            ),
        )  # fmt: skip
    except JobRunning as error:
        raise HTTPException(409, str(error)) from error
    response.headers["location"] = f"{router.prefix}/{run.id}"
    return _state(decider, _find(running, run.id))


@router.post(
    "/{run_id}/release",
    operation_id="release_recommendation_run",
    dependencies=[audits_change("released a run")],
    response_description="How many contacts the release made.",
    responses=responses(404, 409, 422, 503),
)
def release(run_id: RunId, running: RunsDep, decider: DeciderDep) -> RunRelease:
    """Count the actions of a run as contacts, since its file is going to be sent.

    Without a release, what a run reserved is free again after some hours. A second release adds nothing.
    """
    run = _find(running, run_id)
    if run.status != "done":
        raise HTTPException(409, f"the run is {run.status}; whole runs are released")
    new = runs.release(decider.log, run.id, decider.scorer.shop.now())
    return RunRelease(run_id=run.id, contacts=new)


@router.delete(
    "/{run_id}/release",
    operation_id="undo_release_of_run",
    dependencies=[audits_change("undid a release")],
    response_description="How many contacts were taken back.",
    responses=responses(404, 422, 503),
)
def undo_release(run_id: RunId, running: RunsDep, decider: DeciderDep) -> RunRelease:
    """Take the release of a run back, since its file was not sent.

    Actions that were reported as sent or shown meanwhile remain contacts. What the run reserved is reserved
    again until its time is over.
    """
    run = _find(running, run_id)
    return RunRelease(run_id=run.id, contacts=runs.undo_release(decider.log, run.id))


@router.get(
    "/{run_id}",
    operation_id="read_recommendation_run",
    dependencies=[audits_look("read a run")],
    response_model=RunPage,
    response_description="A page of rows as JSON, or all rows from the cursor on as a file.",
    responses={
        200: {
            "content": {
                kind.partition(";")[0]: {"schema": {"type": "string"}}
                for kind in (*exports.MEDIA_TYPES.values(), exports.ZIP)
            }
        },
        **responses(404, 409, 422, 503),
    },
)
def read(
    run_id: RunId,
    query: Annotated[RunQuery, Query()],
    running: RunsDep,
    decider: DeciderDep,
    caller: CallerDep,
) -> RunPage | Response:
    """How far a run is, and its rows from a cursor on: a page as JSON, or all as NDJSON, CSV or .xlsx.

    `zip=true` divides a CSV or .xlsx by the limits of the program that it is `for`: rows, and megabytes.

    While it goes on, pages end where it is, and their cursor leads on from there. Scores are null for a key
    without the scope `scores`, and the customers' segments for one without the scope `customers`.
    """
    run = _find(running, run_id)
    begin, hidden = _place(run, query.cursor), hidden_fields(caller, query.format)
    records = (
        (place, row | hidden)
        for place, row in rows(
            decider.log, decider.scorer.identity, run, begin, query.language, only_actions=query.only_actions
        )
    )
    if query.format != "json":
        if run.status != "done":
            raise HTTPException(
                409, f"the run is {run.status}, {run.done} of {run.total}; files are of whole runs"
            )
        zone = decider.scorer.shop.time_zone
        return _file((row for _, row in records), run, query, query.format, zone)
    page = list(islice(records, query.limit))
    after = page[-1][0] + 1 if page else begin
    if len(page) < query.limit:
        after = max(after, run.done)  # the rows in between have no action
    resumed = run.status == "interrupted" and run.origin == SERVICE
    more = after < run.done or run.status == "running" or resumed
    return RunPage(
        **_state(decider, run).model_dump(),
        rows=[Row(**row) for _, row in page],
        next_cursor=RunCursor(run_id=run.id, place=after).text() if more else None,
    )


def _file(
    records: exports.Rows, run: DecisionRun, query: RunQuery, kind: exports.Kind, zone: str
) -> Response:
    """The rows of a run as one file, or as an archive of several by a program's limits."""
    if query.in_archive and kind == "ndjson":
        raise Unprocessable("zip: NDJSON has no limits; use format=csv or format=xlsx")
    language, name = query.language or cast(Language, run.language), f"recommendations-{run.id}"
    try:
        if query.in_archive:
            archive = exports.stream_archive(records, kind, language, query.target, zone, name)
            return stream_file(archive, exports.ZIP, f"{name}.zip")
        media_type, chunks = exports.stream(records, kind, language, query.target, zone=zone)
    except PatronError as error:
        raise Unprocessable(f"for: {error}") from error
    return stream_file(chunks, media_type, f"{name}.{kind}")


def _find(running: DecisionRuns, run_id: str) -> DecisionRun:
    run = running.store.find(run_id)
    if run is None:
        raise HTTPException(404, f"there is no such run; the last {running.store.max_jobs} are kept")
    return run


def _place(run: DecisionRun, cursor: str | None) -> int:
    if cursor is None:
        return 0
    position = RunCursor.read(cursor)
    if position.run_id != run.id:
        raise Unprocessable("cursor: it is of another run")
    return position.place


def _state(decider: Decider, run: DecisionRun) -> RunState:
    return RunState.model_validate(
        {
            "run_id": run.id,
            "status": run.status,
            "error": run.error,
            "started_at": run.at,
            "segment": run.segment,
            "rule": run.rule,
            "channels": run.channels and list(run.channels),
            "language": run.language,
            "total": run.total,
            "done": run.done,
            "actions": runs.counts(decider.log, run.id),
        }
    )
