"""Divides connections evenly among the workers of a service.

The workers accept from one socket, and a connection belongs to whichever was first. A client with a few
connections that stay open could have most of them in one worker, while another has nothing to do. So a worker
that has more than another closes a new connection after its first response, as HTTP permits at any time;
the client opens it again, perhaps to the other worker.
"""

from __future__ import annotations

import os
from asyncio import Transport
from contextlib import suppress
from functools import cache
from pathlib import Path

from serving.edge.packets import PacketProtocol
from serving.http.metrics import FOLDER

ALLOWED = 1  # connections that a worker may have more than another
_PREFIX = "connections-"


class ConnectionCounts:
    """The number of connections of each worker, in files of a folder that they share."""

    def __init__(self, folder: Path) -> None:
        self._folder, own = folder, folder / f"{_PREFIX}{os.getpid()}"
        self._own = own.name
        self._file = os.open(own, os.O_WRONLY | os.O_CREAT, 0o600)
        self.store(0)

    def store(self, count: int) -> None:
        """Store how many connections this worker has."""
        os.pwrite(self._file, count.to_bytes(4, "little"), 0)

    def exceeded_by(self, count: int) -> bool:
        """Whether so many connections of this worker are too many beside those of another."""
        others = []
        for path in self._folder.glob(f"{_PREFIX}*"):
            if path.name != self._own:
                with suppress(FileNotFoundError):  # the worker has ended
                    others.append(int.from_bytes(path.read_bytes(), "little"))
        return bool(others) and count > min(others) + ALLOWED


@cache
def shared_counts() -> ConnectionCounts | None:
    """The counts of this worker's service; None in a service of one process."""
    folder = os.environ.get(FOLDER)
    return ConnectionCounts(Path(folder)) if folder else None


def forget(folder: Path, pid: int | None) -> None:
    """Forget the connections of a worker that ended."""
    (folder / f"{_PREFIX}{pid}").unlink(missing_ok=True)


class BalancedProtocol(PacketProtocol):
    """The protocol whose new connections are divided evenly."""

    _leaves = False  # the connection is closed after its first response

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Accept a connection."""
        super().connection_made(transport)
        counts = shared_counts()
        if counts is not None:
            counts.store(len(self.connections))
            self._leaves = counts.exceeded_by(len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        counts = shared_counts()
        if counts is not None:
            counts.store(len(self.connections))

    def on_headers_complete(self) -> None:
        """The headers are complete."""
        super().on_headers_complete()
        if self._leaves:
            self.cycle.keep_alive = False
