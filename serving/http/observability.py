"""Gives every request an id, times it, and logs it if it fails or is slow."""

from __future__ import annotations

import logging
import re
from random import Random
from typing import Protocol

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import StoreUnavailable
from core.logging_setup import REQUEST_ID
from serving.http.metrics import Metrics
from serving.http.problems import problem
from serving.http.timing import CURRENT, Stages

SLOW_SECONDS = 1.0
STATES = {"/readyz"}  # routes whose 503 is the state that they were asked for, often
_UNEXPECTED = "an unexpected error; the service's log has its type and place"
_random = Random()  # not the module's, which other code may seed; ids need not be secret
_sane = re.compile(rb"[A-Za-z0-9._-]{1,64}").fullmatch
_log = logging.getLogger(__name__)
CLIENT_CLOSED = 499
"""The status, as nginx counts it, of a request whose client hung up before the response."""


class RequestTracer(Protocol):
    """Exports what a request was and how long it took, see :class:`serving.tracing.Tracer`."""

    def record(self, scope: Scope, route: str, status: int, stages: Stages, seconds: float) -> None:
        """Export a request that ended now."""


class ObservabilityMiddleware:
    """The outermost ASGI middleware, written without a framework, whose overhead would exceed its work.

    Responses get the headers ``X-Request-ID`` (the request's own, if it is valid) and ``Server-Timing``;
    an unexpected error becomes a problem document. A client that hangs up is no error.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: RequestTracer | None = None) -> None:
        self.app, self.metrics, self.tracer = app, metrics, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, and record the request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        stages, request_id, status, hung_up = Stages(), _request_id(scope), 0, False
        id_before, stages_before = REQUEST_ID.set(request_id.decode()), CURRENT.set(stages)

        async def receive_and_note() -> Message:
            nonlocal hung_up
            message = await receive()
            hung_up = hung_up or message["type"] == "http.disconnect"
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if stages.seconds:
                    stages.mark("respond")
                headers = (b"x-request-id", request_id), (b"server-timing", stages.header())
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        error = None
        try:
            await self.app(scope, receive_and_note, send_with_headers)
        except ClientDisconnect:
            hung_up = True
        except Exception as unexpected:
            error = unexpected
            if not status:  # otherwise the response is incomplete, and the server closes the connection
                await problem(500, _UNEXPECTED, path=scope["path"])(scope, receive, send_with_headers)
        finally:
            if _store_was_lost(error):  # in the middle of a streamed response
                status, error = 503, None
            if error is not None:
                status = 500
            self._record(scope, status or (CLIENT_CLOSED if hung_up else 500), stages, error)
            REQUEST_ID.reset(id_before)
            CURRENT.reset(stages_before)

    def _record(self, scope: Scope, status: int, stages: Stages, error: Exception | None) -> None:
        # The route's pattern, not the path: there are too many paths, and they may name customers.
        route = getattr(scope.get("route"), "path", "none")
        seconds = self.metrics.observe(route, status, stages)
        if self.tracer is not None:
            self.tracer.record(scope, route, status, stages, seconds)
        if (status < 500 or route in STATES) and seconds <= SLOW_SECONDS:
            return
        fields = {"method": scope["method"], "route": route, "status": status, "seconds": round(seconds, 3)}
        level = logging.ERROR if status >= 500 else logging.WARNING
        words = "%(method)s %(route)s: %(status)d after %(seconds).3f s"
        _log.log(level, words, fields, exc_info=error, extra={"fields": fields})


def _store_was_lost(error: Exception | None) -> bool:
    return isinstance(error, StoreUnavailable) or (
        error is not None and isinstance(error.__cause__, StoreUnavailable)
    )


def _request_id(scope: Scope) -> bytes:
    """The id that the request sends if it is valid; else a new one."""
    name: bytes
    value: bytes
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if _sane(value):
                return value
            break
    return b"%032x" % _random.getrandbits(128)
