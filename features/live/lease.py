"""Leases: one refresher at a time works for a shard, and all that work divide the customers alike."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from core import locks
from core.errors import PatronError
from core.home import Home
from features.live.heartbeat import Heartbeat
from features.live.progress import divide
from features.live.shards import Shard, leases

STANDBY_S = 1.0
_log = logging.getLogger(__name__)


@contextmanager
def lease(home: Home, shard: Shard, stop: threading.Event) -> Iterator[bool]:
    """Whether this process works for a shard, once the other is gone or ``stop`` is set.

    Raises:
        PatronError: refreshers of another number of shards work.
    """
    file_of_lease = shard.lease_file(home)
    file_of_lease.parent.mkdir(exist_ok=True)
    with open(file_of_lease, "ab") as file:
        waited = False
        while not (works := _acquire(home, shard, file)) and not stop.wait(STANDBY_S):
            if not waited:
                _log.info("%s; this one stands by", _who_works(home, shard))
            waited = True
        if works:
            if waited:
                before = Heartbeat.read(home, shard)
                _log.warning(
                    "this process takes over as refresher from %s", before.words if before else "another",
                    extra={"fields": {"refresher": os.getpid(), "previous": before and before.pid}},
                )  # fmt: skip
            file.truncate(0)
            file.write(b"%d\n" % os.getpid())  # for people
            file.flush()
        yield works


def _who_works(home: Home, shard: Shard) -> str:
    if shard.count == 1:
        return "another process refreshes this home"
    heartbeat = Heartbeat.read(home, shard)
    return f"{heartbeat.words if heartbeat else 'another process'} works for shard {shard.name} already"


def _acquire(home: Home, shard: Shard, file: IO[bytes]) -> bool:
    """Take the lease of a shard, and divide the customers by its number of shards if they are not yet."""
    with open(home.path / "refreshers.lock", "ab") as turn:
        locks.wait(turn)  # so that two processes do not begin different divisions
        _refuse_other_divisions(home, shard)
        if not locks.acquire(file):
            return False
        divide(home, shard.count)
        return True


def _refuse_other_divisions(home: Home, shard: Shard) -> None:
    for path, count in leases(home):
        if count == shard.count or not path.exists():
            continue
        with open(path, "rb") as other:
            if not locks.acquire(other):
                raise PatronError(
                    f"a refresher of another number of shards ({count}) works in {home.path} at present, so"
                    f" `{shard.command}` may not; stop every refresher before you change the number of"
                    " shards, and set `PATRON_REFRESHER=off` where `patron serve` runs"
                )
