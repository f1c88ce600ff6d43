"""The refresher that a service starts as a child process, in a home whose customers are not divided."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from core import child_process
from core.home import Home
from features.live.shards import Division

POLL_S, PAUSE_S = 0.5, 5.0
_log = logging.getLogger(__name__)


@contextmanager
def running_refresher(home: Home) -> Iterator[None]:
    """A refresher as a child process, which also ends when this process is killed; another follows if it
    dies.

    While the customers of the home are divided into shards, there is none: those who divided them start the
    refreshers.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_run, args=(home, ended), name="refresher")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run(home: Home, ended: threading.Event) -> None:
    pause = 0.0
    while not ended.wait(pause):
        if _wait_for_end_of_division(home, ended):
            return
        process = child_process.start(home, "refresh")
        while (code := process.poll()) is None:
            if ended.wait(POLL_S):
                process.stop()
                return
        pause = PAUSE_S
        if Division.read(home).count == 1:
            _log.error(
                "the refresher %s ended with %s; another is started",
                process.pid,
                code,
                extra={"fields": {"refresher": process.pid, "exit_code": code}},
            )


def _wait_for_end_of_division(home: Home, ended: threading.Event) -> bool:
    """Wait while the customers are divided into shards; returns whether the service ended meanwhile."""
    count = 1
    while (divided := Division.read(home).count) > 1:
        if divided != count:
            _log.warning(
                "the customers of this shop are divided into %d shards, so this service starts no refresher;"
                " `patron refresh --once` ends the division, once the refreshers of the shards are stopped",
                divided,
            )
        count = divided
        if ended.wait(POLL_S):
            return True
    if count > 1:
        _log.warning("the customers of this shop are no longer divided; this service starts a refresher")
    return False
