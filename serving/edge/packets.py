"""Responses whose head is sent together with the beginning of the body.

uvicorn writes both one after the other, which takes a second call of the operating system, and the client
wakes up twice.
"""

from __future__ import annotations

from asyncio import Transport

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from serving.edge.connections import LimitedProtocol


class PacketProtocol(LimitedProtocol):
    """The limited protocol, with such responses."""

    def on_headers_complete(self) -> None:
        """The headers are complete; the response to the request goes through :class:`_ResponseTransport`."""
        before = self.cycle
        super().on_headers_complete()
        # The response to HEAD is its head alone.
        if self.cycle is not before and self.scope["method"] != "HEAD":
            self.cycle.transport = _ResponseTransport(self.transport, self.cycle)  # type: ignore[assignment]


class _ResponseTransport:
    """The transport of a response: retains the head until the body begins, or the connection is closed."""

    __slots__ = ("_cycle", "_head", "_head_is_sent", "_transport")

    def __init__(self, transport: Transport, cycle: RequestResponseCycle) -> None:
        self._transport, self._cycle = transport, cycle
        self._head, self._head_is_sent = b"", False

    def write(self, data: bytes) -> None:
        """Send data; the first of a response is its head."""
        if self._head_is_sent or not self._cycle.response_started:  # a 100 Continue comes before the response
            self._transport.write(data)
        elif not self._head:
            self._head = data
        else:
            self._send_head(data)

    def close(self) -> None:
        """Send what was retained, and close the connection."""
        if self._head and not self._head_is_sent:
            self._send_head(b"")
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self._transport.is_closing()

    def _send_head(self, data: bytes) -> None:
        self._head_is_sent = True
        self._transport.write(self._head + data)
