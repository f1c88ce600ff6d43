"""Events by the Segment specification: one at a time by its kind, or in batches."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from events.journal import Message, Refused
from events.segment.translate import Place, translate
from serving.access.authentication import Admit, needs_here_or_in_body
from serving.access.scopes import Scope
from serving.events.intake import Intake, Overloaded
from serving.http.metrics import MetricsDep
from serving.http.problems import ClientProblem, responses
from serving.http.services import service
from serving.scores.dependencies import ScorerDep

MAX_BODY_BYTES = 500 * 1024
_RETRY_SECONDS = "1"

router = APIRouter(prefix="/v1", tags=["events"])
Single = Callable[..., Awaitable["Taken"]]
IntakeDep = Annotated[Intake, service(Intake)]
AdmitDep = Annotated[Admit, needs_here_or_in_body(Scope.EVENTS)]


class Taken(BaseModel):
    """What became of events; all of it is durable."""

    success: bool = True
    kept: int = Field(description="Events that count, also those that were sent before.", examples=[98])
    quarantined: int = Field(
        description="Events that cannot be used; `patron quarantine list` says why.", examples=[2]
    )


def _described(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The body of a route for OpenAPI; it is read without a model, by far the fastest."""
    content = {"application/json": {"schema": {"type": "object", **schema}, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


_ORDER = {
    "messageId": "5b1f6f0c-order-1001", "userId": "C000017", "timestamp": "2026-11-25T10:15:00Z",
    "event": "Order Completed",
    "properties": {
        "order_id": "1001", "currency": "EUR",
        "products": [{"product_id": "p12", "category": "tea", "price": "8.50", "quantity": 2}],
    },
}  # fmt: skip
_SEEN = {
    "messageId": "5b1f6f0c-1",
    "anonymousId": "device-7",
    "name": "Teas",
    "properties": {"path": "/teas"},
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "identify": {
        "messageId": "5b1f6f0c-2", "userId": "C000017", "anonymousId": "device-7",
        "traits": {"country": "DE", "address": {"city": "Berlin"}},
    },
    "track": _ORDER, "page": _SEEN, "screen": _SEEN,
    "group": {"messageId": "5b1f6f0c-3", "userId": "C000017", "groupId": "acme", "traits": {"plan": "gold"}},
    "alias": {"messageId": "5b1f6f0c-4", "previousId": "old-id", "userId": "C000017"},
}  # fmt: skip
_EVENT = {
    "properties": {
        **{name: {"type": ["string", "integer", "null"]} for name in ("messageId", "userId", "anonymousId")},
        **{name: {"type": ["string", "null"]} for name in ("timestamp", "sentAt")},
    }
}
_BATCH = {
    "required": ["batch"],
    "properties": {
        "batch": {
            "type": "array",
            "items": {"description": "An event with its `type`; what is none goes to the quarantine."},
        },
        "sentAt": {"description": "When it was sent, by the sender's clock (ISO 8601)."},
    },
}


@router.post(
    "/batch",
    operation_id="send_batch",
    response_description="All that can be used is kept for good.",
    openapi_extra=_described(
        _BATCH, {"batch": [{"type": "track"} | _ORDER], "sentAt": "2026-11-25T10:15:01Z"}
    ),
    responses=responses(400, 409, 415, 503, kind=ClientProblem),
)
async def batch(
    request: Request, admit: AdmitDep, scorer: ScorerDep, intake: IntakeDep, metrics: MetricsDep
) -> Taken:
    """Up to 500 KB of events, each with its ``type``; answered once all that can be used is kept for good.

    An event that cannot be used goes to the quarantine and does not stop the others.
    """
    at = datetime.now(UTC)
    body = await _body(request, admit)
    events = body.get("batch")
    if not isinstance(events, list):
        raise HTTPException(400, "batch: it takes a list of events")
    envelope = {name: body[name] for name in ("sentAt", "context") if body.get(name) is not None}
    place = _place(scorer)
    read = await run_in_threadpool(
        lambda: [translate(_with_envelope(one, envelope), at, place) for one in events]
    )
    accepted = [one for one in read if isinstance(one, Message)]
    refused = [one for one in read if isinstance(one, Refused)]
    await _store(intake, metrics, accepted, refused)
    return Taken(kept=len(accepted), quarantined=len(refused))


def _single(kind: str) -> Callable[[Single], Single]:
    """The route of single events of a kind."""
    return router.post(
        f"/{kind}", name=kind, operation_id=f"send_{kind}",
        response_description="The event is kept for good.",
        openapi_extra=_described(_EVENT, _EXAMPLES[kind]),
        responses=responses(400, 409, 415, 503, kind=ClientProblem),
    )  # fmt: skip


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
    """
    at, kind = datetime.now(UTC), request.scope["route"].name
    body = await _body(request, admit)
    read = translate(_with_envelope(body, {}) | {"type": kind}, at, _place(scorer))
    if isinstance(read, Refused):
        await _store(intake, metrics, [], [read])
        raise HTTPException(400, f"the event cannot be used and is in the quarantine: {read.reason}")
    await _store(intake, metrics, [read], [])
    return Taken(kept=1, quarantined=0)


def _place(scorer: ScorerDep) -> Place:
    shop = scorer.shop
    if shop.clock.frozen_at is not None:
        raise HTTPException(
            409,
            "the clock of this shop stands still, so nothing can happen in it; import it with `patron import"
            " FILE --live`, or make another with `patron init`, and start the service again",
        )
    return Place(shop.time_zone, shop.currency)


def _with_envelope(message: Any, envelope: dict[str, Any]) -> Any:
    """An event with what its batch says for all of them, without the key."""
    if not isinstance(message, dict):
        return message
    return {name: value for name, value in (envelope | message).items() if name != "writeKey"}


async def _store(
    intake: IntakeDep, metrics: MetricsDep, messages: list[Message], refused: list[Refused]
) -> None:
    if not messages and not refused:
        return
    try:
        await asyncio.wrap_future(intake.store(messages, refused))
    except Overloaded as full:
        raise HTTPException(503, str(full), {"Retry-After": _RETRY_SECONDS}) from full
    metrics.events.labels("kept").inc(len(messages))
    metrics.events.labels("quarantined").inc(len(refused))


async def _body(request: Request, admit: Admit) -> dict[str, Any]:
    """The body as an object, of a caller who may send it.

    What is too large or no JSON is answered 400, as the Segment specification has it.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    raw = bytearray()
    try:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MAX_BODY_BYTES:
                raise _too_large()
        body = await run_in_threadpool(_parse, bytes(raw), encoding)
    except ClientDisconnect:
        raise HTTPException(400, "the body broke off") from None
    except HTTPException:
        admit(None)  # whoever may not send anything learns nothing else
        raise
    kind = request.headers.get("content-type", "")
    if admit(body.get("writeKey")).name is None and not kind.startswith("application/json"):
        # Any web page may have its reader's browser post other kinds to this machine.
        raise HTTPException(415, "Content-Type: without a key it takes application/json")
    return body


def _parse(raw: bytes, encoding: str) -> dict[str, Any]:
    if encoding == "gzip":
        raw = _unzipped(raw)
    elif encoding != "identity":
        raise HTTPException(415, "Content-Encoding: it takes gzip, or none")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return body


def _unzipped(raw: bytes) -> bytes:
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = unzip.decompress(raw, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise HTTPException(400, "the body is not gzip, as Content-Encoding says") from None
    if len(plain) > MAX_BODY_BYTES:
        raise _too_large()
    if not unzip.eof or unzip.unused_data:
        raise HTTPException(400, "the gzip of the body is cut off, or goes on after its end")
    return plain


def _too_large() -> HTTPException:
    limit = MAX_BODY_BYTES // 1024
    return HTTPException(400, f"the body is larger than {limit} KB, unpacked; send it in parts")
