"""Work in a process of its own, which ends with the one that started it, however that ends.

python -m features.live.child_process refresh|build|compact
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping

from core import logging_setup as log_lines
from core.errors import PatronError
from core.home import Home
from core.settings import FeatureSettings

NICE = 10  # what gives way to those who serve
_log = logging.getLogger(__name__)


class Work:
    """A process beside, which holds a pipe of this one's: it breaks when this one is gone."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        """How it ended: 0 where all went well; None while it goes on."""
        ended = self._process.poll()
        if ended is not None and self._process.stdin is not None:
            self._process.stdin.close()
        return ended

    def end(self) -> int | None:
        """Tell it to end, and wait until it has; returns how it ended."""
        self._process.terminate()
        self._process.wait()
        return self.poll()


def start(home: Home, task: str) -> Work:
    """Begin a task of ``TASKS`` over a home."""
    environment = {**os.environ, "TZ": "UTC", "PATRON_HOME": str(home.path)}
    if home.database is not None:
        environment["PATRON_DATABASE"] = home.database
    command = [sys.executable, "-m", "features.live.child_process", task]
    return Work(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment))


def _refresh(home: Home) -> None:
    from features.live.refresher import refresh

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    refresh(home, stop)


def _build(home: Home) -> None:
    os.nice(NICE)
    from features.offline.build import build

    build(home, monthly=False)


def _compact(home: Home) -> None:
    os.nice(NICE)
    from core.storage.database import Database
    from events.lake.compaction import compact

    compact(home, Database(home))


TASKS: Mapping[str, Callable[[Home], None]] = {"refresh": _refresh, "build": _build, "compact": _compact}


def _end_with_parent() -> None:
    """End at once when nobody holds the other end of the standard input any more."""

    def watch() -> None:
        os.read(0, 1)  # not through sys.stdin, whose lock a thread must not hold when Python ends
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent


def main() -> int:
    """Carry out a task; an error is a line for the person."""
    _end_with_parent()
    settings, task = FeatureSettings(), sys.argv[1]
    log_lines.configure(settings.log_format)
    try:
        TASKS[task](settings.open_home())
    except PatronError as error:
        _log.error("%s: %s", task, error)
        return 1
    except Exception:
        _log.exception("%s ended", task)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
