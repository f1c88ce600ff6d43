"""The heartbeat that each working refresher writes into the home, for all processes that share it."""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from core import files
from core.calendar import micros
from core.home import Home
from features.live.shards import Shard

BEAT_S = 2.0
_log = logging.getLogger(__name__)


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
    def read(cls, home: Home, shard: Shard | None = None) -> Heartbeat | None:
        """The last heartbeat of a shard; None if there is none that can be read."""
        try:
            fields: dict[str, Any] = json.loads((shard or Shard()).heartbeat_file(home).read_bytes())
            return cls(**{name: fields[name] for name in cls.__dataclass_fields__})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @classmethod
    def of_all(cls, heartbeats: Sequence[Heartbeat]) -> Heartbeat | None:
        """The heartbeats of several shards as one, with sums and the earliest moments; None without any."""
        if not heartbeats:
            return None
        tasks = sum((Counter(heartbeat.tasks) for heartbeat in heartbeats), Counter[str]())
        return replace(
            heartbeats[0],
            started_at_us=min(heartbeat.started_at_us for heartbeat in heartbeats),
            beat_at_us=min(heartbeat.beat_at_us for heartbeat in heartbeats),
            customers=sum(heartbeat.customers for heartbeat in heartbeats),
            errors=sum(heartbeat.errors for heartbeat in heartbeats),
            tasks=dict(tasks),
            cpu_seconds=sum(heartbeat.cpu_seconds for heartbeat in heartbeats),
            memory_bytes=sum(heartbeat.memory_bytes for heartbeat in heartbeats),
        )

    @property
    def words(self) -> str:
        """Which process it is, for messages."""
        return f"process {self.pid} on {self.host}"


class Heart:
    """A thread that writes the heartbeat every ``BEAT_S`` seconds, also while a tick takes long.

    Attributes:
        counts: of customers, errors and tasks; the refresher increments them.
    """

    def __init__(self, home: Home, shard: Shard | None = None) -> None:
        self.home, self._path = home, (shard or Shard()).heartbeat_file(home)
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
            files.replace(self._path, json.dumps(asdict(beat)))
        except OSError as error:
            if not self._failed:
                _log.error("the heartbeat cannot be written to %s: %s", self._path, error.strerror)
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
