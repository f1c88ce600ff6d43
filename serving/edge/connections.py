"""HTTP connections with limits: on the time and size of headers and bodies, and on their number.

uvicorn closes connections that are idle after a response, and nothing else: a client that sends half a
request would occupy a connection for ever, and a header without an end would fill the memory. A reverse
proxy in front limits the same; the service is safe without one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
from asyncio.events import TimerHandle
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.edge.headers import headers_of

MAX_HEADER_BYTES = 32 * 1024  # of the request line and all headers
MAX_HEADERS = 100
MAX_MESSAGE_BYTES = 8 * 2**20  # of a request's body as sent; the routes refuse far smaller ones
MAX_CONNECTIONS = 1000  # of a process
HEADER_SECONDS = 10.0  # from the connection, or the first byte of a further request, to the headers' end
BODY_SECONDS = 30.0  # from the end of the headers to that of the body
WRITE_SECONDS = 60.0  # in which a client accepts some of a response, and in which a connection closes
MIN_PROGRESS_BYTES = 16 * 1024  # of a response, in that time

_WORDS: Mapping[int, str] = {
    408: "the request did not arrive in time; send it again",
    413: "the request is too large; send several",
    431: f"the headers are larger than {MAX_HEADER_BYTES // 1024} KB, or more than {MAX_HEADERS}; send fewer",
    503: f"the service has {MAX_CONNECTIONS:,} connections already; try again in 1 s",
}


class _Phase(Enum):
    """What the client is to send."""

    HEADERS = auto()
    BODY = auto()
    NOTHING = auto()  # the request is complete

    @property
    def seconds(self) -> float | None:
        """The longest duration; None for as long as the response takes."""
        return {_Phase.HEADERS: HEADER_SECONDS, _Phase.BODY: BODY_SECONDS}.get(self)


class _Refused(Exception):
    """Raised inside the parser to end it; the connection knows why."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the limits of this module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A line per malformed request would let any client fill the log.
        self.logger = self.logger.getChild("connections")
        self.logger.setLevel(logging.ERROR)
        self._phase, self._since = _Phase.HEADERS, 0.0
        self._bytes = self._header_bytes = self._header_count = 0
        self._refusal = 400
        self._timer: TimerHandle | None = None
        self._blocked_since: float | None = None  # the client accepts no more of the response
        self._pending = 0  # bytes of the response that it has not accepted
        self._closing = False

    # Called by the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection; beyond ``MAX_CONNECTIONS`` the one that waited longest for a request ends."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._timer = self.loop.call_later(HEADER_SECONDS, self._check)
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what the client sent, up to the limits."""
        phase = self._phase
        self._bytes += len(data)
        super().data_received(data)
        if self._phase is not phase or self.transport.is_closing():
            return
        if phase is _Phase.NOTHING and self.is_waiting:  # blank lines, which the parser skips
            self._enter(_Phase.HEADERS)
        if phase is _Phase.HEADERS and self._bytes > MAX_HEADER_BYTES:
            self.refuse(431)
        elif phase is _Phase.BODY and self._bytes > MAX_MESSAGE_BYTES:
            self.refuse(413)

    def pause_writing(self) -> None:
        """The client does not accept the response as fast as it is written."""
        super().pause_writing()
        self._blocked_since = self.loop.time()
        self._pending = self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """The client accepted some of it."""
        super().resume_writing()
        self._blocked_since = None

    # Called by the parser

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self._phase is not _Phase.HEADERS:  # of the first request, they were due from the connection on
            self._enter(_Phase.HEADERS)
        self._header_bytes = self._header_count = 0

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer after a body."""
        self._header_count += 1
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are complete."""
        self._enter(_Phase.BODY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._enter(_Phase.NOTHING)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser could not read."""
        self.refuse(self._refusal, msg)

    @property
    def is_waiting(self) -> bool:
        """Whether no request is being answered, so that closing the connection loses none."""
        return self.cycle is None or self.cycle.response_complete

    def refuse(self, status: int, words: str = "") -> None:
        """Answer with a problem document, unless a response has begun, and close the connection."""
        if self.transport.is_closing():
            return
        answering = self.cycle if self._phase is _Phase.BODY else None
        if answering is not None and answering.response_started:
            self.transport.abort()
            return
        if answering is not None:  # its route is told that the client is gone
            answering.disconnected = True
            answering.message_event.set()
        if self.cycle is None or self.cycle.response_complete or answering is not None:
            self.transport.write(_problem(status, _WORDS.get(status, words)))
        self.transport.close()

    def _make_room(self) -> None:
        # Those that close are still in the set.
        live = [
            other
            for other in self.connections
            if isinstance(other, LimitedProtocol) and not other.transport.is_closing()
        ]
        if len(live) <= MAX_CONNECTIONS:
            return
        waiting = [other for other in live if other.is_waiting and other is not self]
        if waiting:
            min(waiting, key=lambda other: other._since).transport.abort()
        else:
            self.refuse(503)

    def _enter(self, phase: _Phase) -> None:
        self._phase, self._since, self._bytes = phase, self.loop.time(), 0

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES or self._header_count > MAX_HEADERS:
            self._refusal = 431
            raise _Refused

    def _check(self) -> None:
        """End the connection if it exceeded a limit of time; else check again when it may have."""
        now = self.loop.time()
        if self.transport.is_closing():
            if self._closing:  # its client has accepted nothing since the last check
                self.transport.abort()
                return
            self._closing = True
            self._timer = self.loop.call_later(WRITE_SECONDS, self._check)
            return
        if self._blocked_since is not None:
            pending = self.transport.get_write_buffer_size()
            if pending <= self._pending - MIN_PROGRESS_BYTES:
                self._blocked_since, self._pending = now, pending
            elif now >= self._blocked_since + WRITE_SECONDS:
                self.transport.abort()
                return
        due = now + HEADER_SECONDS
        seconds = self._phase.seconds
        if seconds is not None and not self._reading_is_paused:
            due = self._since + seconds
            if now >= due:
                self.refuse(408)
                due = now + WRITE_SECONDS
        self._timer = self.loop.call_at(due, self._check)

    @property
    def _reading_is_paused(self) -> bool:
        """Whether the application, and not the client, delays the body."""
        return self._phase is _Phase.BODY and self.flow.read_paused


def allow_open_files() -> None:
    """Let this process and its children open as many files as the system allows; each connection is one.

    Many systems start with 1,024, since old programs cannot handle more.
    """
    _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))


def _problem(status: int, words: str) -> bytes:
    """A whole response with a problem document."""
    title = HTTPStatus(status).phrase
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": words}).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    lines = [b"HTTP/1.1 %d %s" % (status, title.encode())]
    lines += [b"%s: %s" % pair for pair in headers_of(headers)]
    return b"\r\n".join([*lines, b"", body])
