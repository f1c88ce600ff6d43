"""Events by the Segment specification: one at a time by its kind, or in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, HTTPException, Request, Security

from events import warehouse
from events.journal import Message, Refused
from events.segment.translate import Place, translate
from serving.access.authentication import Admit, needs_key_or_write_key
from serving.access.scopes import Scope
from serving.events.body import read_body
from serving.events.intake import Intake, Overloaded
from serving.events.schemas import EXAMPLES, Taken, batch_body, event_body
from serving.http.client_paths import ALIASES
from serving.http.metrics import Metrics, MetricsDep
from serving.http.problems import ClientProblem, responses
from serving.http.services import service
from serving.scores.dependencies import ScorerDep

MAX_BATCH_EVENTS = 2_500
_RETRY_SECONDS = "1"

router = APIRouter(tags=["events"])
Endpoint = Callable[..., Awaitable[Taken]]
IntakeDep = Annotated[Intake, service(Intake)]
admission = needs_key_or_write_key(Scope.EVENTS)
AdmitDep = Annotated[Admit, Security(admission, scopes=[Scope.EVENTS])]


def _post(name: str, meaning: str, request_body: dict[str, Any]) -> Callable[[Endpoint], Endpoint]:
    """A route at ``/v1/NAME`` and, not in OpenAPI, at the other paths that client libraries know it by."""

    def register(endpoint: Endpoint) -> Endpoint:
        path = f"/v1/{name}"
        router.add_api_route(
            path, endpoint, methods=["POST"], name=name, operation_id=f"send_{name}",
            response_description=meaning, openapi_extra=request_body,
            responses=responses(400, 409, 415, 503, kind=ClientProblem),
        )  # fmt: skip
        for alias, target in ALIASES.items():
            if target == path:
                router.add_api_route(alias, endpoint, methods=["POST"], name=name, include_in_schema=False)
        return endpoint

    return register


@_post("batch", "All that can be used is kept for good.", batch_body())
async def batch(
    request: Request, admit: AdmitDep, scorer: ScorerDep, intake: IntakeDep, metrics: MetricsDep
) -> Taken:
    """Up to 2,500 events in up to 500 KB, each with its ``type``; answered once all that can be used is kept.

    An event that cannot be used goes to the quarantine and does not stop the others.

    Also at `/v1/b`, `/b` and `/beacon/v1/batch`.
    """
    at = datetime.now(UTC)

    def take(body: dict[str, Any]) -> _Queued:
        events, place = _events(body), _place(scorer)
        envelope = {name: body[name] for name in ("sentAt", "context") if body.get(name) is not None}
        messages = [translate(_with_envelope(event, envelope), at, place) for event in events]
        return _queue(intake, messages)

    return await _stored(await read_body(request, admit, take), metrics)


def _single(kind: str) -> Callable[[Endpoint], Endpoint]:
    """The route of single events of a kind."""
    return _post(kind, "The event is kept for good.", event_body(EXAMPLES[kind]))


@_single("identify")
@_single("track")
@_single("page")
@_single("screen")
@_single("group")
@_single("alias")
async def single_event(
    request: Request, admit: AdmitDep, scorer: ScorerDep, intake: IntakeDep, metrics: MetricsDep
) -> Taken:
    """One event, up to 32 KB, of the kind that the route names; answered once it is kept for good.

    One that cannot be used goes to the quarantine, and the answer says why.

    Also at the first letter of the kind: `/v1/t`, `/v1/p`, `/v1/i`, `/v1/s`, `/v1/g`, `/v1/a`.
    """
    at, kind = datetime.now(UTC), request.scope["route"].name

    def take(body: dict[str, Any]) -> _Queued:
        message = translate(_with_envelope(body, {}) | {"type": kind}, at, _place(scorer))
        return _queue(intake, [message])

    queued = await read_body(request, admit, take)
    taken = await _stored(queued, metrics)
    if queued.refused:
        why = queued.refused[0].reason
        raise HTTPException(400, f"the event cannot be used and is in the quarantine: {why}")
    return taken


def _events(body: dict[str, Any]) -> list[Any]:
    """The events of a batch."""
    events = body.get("batch")
    if not isinstance(events, list):
        raise HTTPException(400, "batch: it takes a list of events")
    if len(events) > MAX_BATCH_EVENTS:
        raise HTTPException(
            400,
            f"batch: {len(events):,} events, at most {MAX_BATCH_EVENTS:,}; nothing was stored",
        )
    return events


def _place(scorer: ScorerDep) -> Place:
    shop = scorer.shop
    if shop.clock.frozen_at is not None:
        raise HTTPException(
            409,
            "the clock of this shop stands still, so nothing can happen in it; import it with `patron import"
            " FILE --live`, or make another with `patron init`, and start the service again",
        )
    if shop.source == warehouse.SOURCE:
        raise HTTPException(
            409,
            "the events of this shop are in its warehouse; send them there, and `patron build` computes with"
            " them",
        )
    return Place(shop.time_zone, shop.currency)


def _with_envelope(message: Any, envelope: dict[str, Any]) -> Any:
    """An event with what its batch says for all of them, without the key."""
    if not isinstance(message, dict) or not (envelope or "writeKey" in message):
        return message
    return {name: value for name, value in (envelope | message).items() if name != "writeKey"}


class _Queued(NamedTuple):
    """The messages of a request, and the future that is done once they are stored."""

    accepted: list[Message]
    refused: list[Refused]
    stored: Future[None] | None


def _queue(intake: Intake, messages: list[Message | Refused]) -> _Queued:
    """Queue messages to be stored; in the thread that translated them, which saves a switch."""
    accepted = [message for message in messages if isinstance(message, Message)]
    refused = [message for message in messages if isinstance(message, Refused)]
    try:
        return _Queued(accepted, refused, intake.store(accepted, refused) if messages else None)
    except Overloaded as full:
        raise HTTPException(503, str(full), {"Retry-After": _RETRY_SECONDS}) from full


async def _stored(queued: _Queued, metrics: Metrics) -> Taken:
    """What became of a request's messages, once they are stored."""
    accepted, refused, stored = queued
    if stored is not None:
        await asyncio.wrap_future(stored)
        metrics.events.labels("kept").inc(len(accepted))
        metrics.events.labels("quarantined").inc(len(refused))
    parts = sum(message.doubt is not None for message in accepted)
    return Taken(kept=len(accepted), quarantined=len(refused) + parts)
