"""Refuses bodies that are too large before they are read completely, chunked or not."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.client_paths import CLIENT_PATHS

MAX_BODY_BYTES = 2**20


class BodyLimitMiddleware:
    """ASGI middleware: the body of a request may have ``MAX_BODY_BYTES``.

    The routes of events have a limit of their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application with a limited channel."""
        if scope["type"] == "http" and scope["path"] not in CLIENT_PATHS:
            receive = _bounded(scope, receive)
        await self.app(scope, receive, send)


def _bounded(scope: Scope, receive: Receive) -> Receive:
    read = 0

    async def channel() -> Message:
        nonlocal read
        if not read and _declared_bytes(scope) > MAX_BODY_BYTES:
            raise _too_large()
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY_BYTES:
            raise _too_large()
        return message

    return channel


def _declared_bytes(scope: Scope) -> int:
    """The ``Content-Length``; 0 if there is none."""
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(value) if value.isdigit() else 0


def _too_large() -> HTTPException:
    limit = MAX_BODY_BYTES // 2**20
    return HTTPException(413, f"the body is larger than {limit} MB; send several requests")
