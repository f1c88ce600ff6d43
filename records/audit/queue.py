"""Entries that do not delay what they are about, such as looks at customers: a thread appends them.

A killed process loses those of its last second. Beyond ``MAX_QUEUED`` entries, which only a database that
cannot be written leads to, further ones are counted, and the log gets the count as an entry.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import PatronError
from records.audit.log import AuditLog

FLUSH_SECONDS = 1.0
BATCH = 1000  # entries in a transaction
MAX_QUEUED = 20_000
SERVICE, LOST = "the service", "lost audit entries"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueuedEntry:
    """An entry that is not in the log yet.

    Attributes:
        customer_id: of whom; the log gets the key instead. Empty if it is not about one customer.
        about: what else it is about.
    """

    at_us: int
    by: str
    what: str
    customer_id: str
    about: str


class AuditQueue:
    """Appends entries to the audit log; threads may share it. Closing it appends what is queued.

    Args:
        keys_of: finds customers' keys by their ids.
    """

    def __init__(
        self,
        log: AuditLog,
        keys_of: Callable[[Sequence[str]], Mapping[str, int]],
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._log, self._keys_of, self._flush_seconds = log, keys_of, flush_seconds
        self._queue: deque[QueuedEntry] = deque()
        self._lost = 0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, by: str, what: str, customer_id: str = "", about: str = "") -> None:
        """Queue an entry; returns at once."""
        entry = QueuedEntry(self._log.now_us(), by, what, customer_id, about)
        with self._lock:
            if len(self._queue) < MAX_QUEUED:
                self._queue.append(entry)
            else:
                self._lost += 1
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Append what is queued, and end the thread."""
        self._stop.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()
        if missing := len(self._queue) + self._lost:
            _log.error("%d entries could not be written to the audit log and are lost", missing)

    def _run(self) -> None:
        while not self._stop.wait(self._flush_seconds):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while self._queue or self._lost:
            with self._lock:
                entries, lost = [self._queue[i] for i in range(min(BATCH, len(self._queue)))], self._lost
            try:
                ids = [entry.customer_id for entry in entries if entry.customer_id]
                keys = self._keys_of(ids) if ids else {}
                rows = [(entry.at_us, entry.by, entry.what, _about(entry, keys)) for entry in entries]
                if lost:
                    rows.append((self._log.now_us(), SERVICE, LOST, str(lost)))
                self._log.append_all(rows)
            except PatronError as error:
                _log.error("the audit log cannot be written; it will be retried: %s", error)
                return
            with self._lock:
                self._lost -= lost
                for _ in entries:
                    self._queue.popleft()


def _about(entry: QueuedEntry, keys: Mapping[str, int]) -> str:
    key = str(keys.get(entry.customer_id, "")) if entry.customer_id else ""
    return f"{key} {entry.about}".strip()
