"""The heartbeat that the working refresher writes into the home, for all processes that share it."""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import threading
import uuid
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core import files
from core.calendar import micros
from core.home import Home

BEAT_S = 2.0
_log = logging.getLogger(__name__)


def heartbeat_file(home: Home) -> Path:
    """JSON: the last heartbeat in a home."""
    return home.path / "refresher.json"


@dataclass(frozen=True)
class Heartbeat:
    """What a refresher says of itself.

    Attributes:
        session: another one for each refresher that begins to work.
        host, pid: the machine and the process, for people.
        started_at_us, beat_at_us: by the wall clock of that machine, in microseconds since 1970.
        customers: how many were recomputed since the start.
        errors: how many attempts failed since then.
        tasks: how many builds and compactions ended, by ``TASK done`` or ``TASK failed``.
        cpu_seconds: the processor time of the process; its children's is not included.
        memory_bytes: its resident memory.
    """

    session: str
    host: str
    pid: int
    started_at_us: int
    beat_at_us: int
    customers: int = 0
    errors: int = 0
    tasks: dict[str, int] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    memory_bytes: int = 0

    @classmethod
    def read(cls, home: Home) -> Heartbeat | None:
        """The last heartbeat in a home; None if there is none that can be read."""
        try:
            fields: dict[str, Any] = json.loads(heartbeat_file(home).read_bytes())
            return cls(**{name: fields[name] for name in cls.__dataclass_fields__})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @property
    def words(self) -> str:
        """Which process it is, for messages."""
        return f"process {self.pid} on {self.host}"


class Heart:
    """A thread that writes the heartbeat every ``BEAT_S`` seconds, also while a tick takes long.

    Attributes:
        counts: of customers, errors and tasks; the refresher increments them.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.counts: Counter[str] = Counter()
        self._session, self._started_at_us = uuid.uuid4().hex, micros(home.wall())
        self._failed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heart:
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(BEAT_S):
            self._beat()

    def _beat(self) -> None:
        usage, counts = resource.getrusage(resource.RUSAGE_SELF), dict(self.counts)
        customers, errors = counts.pop("customers", 0), counts.pop("errors", 0)
        beat = Heartbeat(
            self._session, socket.gethostname(), os.getpid(), self._started_at_us, micros(self.home.wall()),
            customers, errors, counts, usage.ru_utime + usage.ru_stime, _memory_bytes(),
        )  # fmt: skip
        try:
            files.replace(heartbeat_file(self.home), json.dumps(asdict(beat)))
        except OSError as error:
            if not self._failed:
                _log.error(
                    "the heartbeat cannot be written to %s: %s", heartbeat_file(self.home), error.strerror
                )
            self._failed = True
        else:
            self._failed = False


def _memory_bytes() -> int:
    """The resident memory of this process; 0 where the system has no ``/proc``."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0
