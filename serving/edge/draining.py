"""Connections that end without a reset when the service stops."""

from __future__ import annotations

from serving.edge.balance import BalancedProtocol


class DrainedProtocol(BalancedProtocol):
    """The protocol of the service, which also drains its connections.

    When the service stops, uvicorn closes idle connections at once, which resets a request that is on its
    way. This one answers the next request, with ``Connection: close``, and closes after it; if none comes, it
    is closed after the usual time of an idle connection.
    """

    def shutdown(self) -> None:
        """Close after the response to the current or the next request."""
        headers = self.server_state.default_headers
        if _CLOSE not in headers:
            self.server_state.default_headers = [*headers, _CLOSE]
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif self.timeout_keep_alive_task is None:  # no request was sent yet
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )


_CLOSE = (b"connection", b"close")
