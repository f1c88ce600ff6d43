"""Group commit of events: all requests that wait at a moment share one commit.

Requests queue their events and wait; one thread commits everything queued in one transaction. So thousands of
events a second need no more commits than the disk can do.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from core.errors import PatronError
from core.home import Home
from core.settings import FeatureSettings
from core.storage.database import Database, Unstorable
from events import journal
from events.journal import Message, Refused
from events.lake import versions
from events.segment.retention import QuarantineLimits
from serving.events.retention import QuarantineRetention

MAX_WAITING = 20_000
"""Events that wait to be committed; further ones are refused."""
MAX_PER_COMMIT = 2_000
_log = logging.getLogger(__name__)


class Overloaded(PatronError):
    """More events arrive than can be committed."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """The events of one request, and the future that is done once they are committed."""

    messages: Sequence[Message]
    refused: Sequence[Refused]
    committed: Future[None] = field(default_factory=Future)

    @property
    def size(self) -> int:
        """The number of events."""
        return len(self.messages) + len(self.refused)


class Intake:
    """The only writer of events in a process; its thread is started by :meth:`start`, or by the first event.

    Args:
        limits: of the quarantine; by default those of the settings.
    """

    def __init__(self, home: Home, limits: QuarantineLimits | None = None) -> None:
        self._home, self._database = home, Database(home)
        limits = limits or QuarantineLimits.of(FeatureSettings())
        self._retention = QuarantineRetention(self._database, limits, home.wall)
        self._waiting: deque[_Batch] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def store(self, messages: Sequence[Message], refused: Sequence[Refused]) -> Future[None]:
        """Store events, and refused ones in the quarantine; the future is done once the commit is durable.

        The future raises :class:`PatronError` if the database cannot be used; nothing was stored then.

        Raises:
            Overloaded: too many events wait; these are not stored.
        """
        batch = _Batch(messages, refused)
        with self._changed:
            if self._closed or (self._size and self._size + batch.size > MAX_WAITING):
                raise Overloaded("more events arrive than can be kept; send these again in a second")
            self._ensure_thread()
            self._waiting.append(batch)
            self._size += batch.size
            self._changed.notify()
        return batch.committed

    def start(self) -> None:
        """Prune the quarantine, and start the thread, which does so hourly also without events."""
        self._retention.prune()
        with self._changed:
            self._ensure_thread()

    def close(self) -> None:
        """Commit what is queued, and refuse further events."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _ensure_thread(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (group := self._take()) is not None:
            if group:
                self._commit(group)
            self._retention.prune_if_due()

    def _take(self) -> list[_Batch] | None:
        """The batches of the next commit, or none if the quarantine is due before.

        None after :meth:`close`, once the queue is empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, self._retention.wait_seconds)
            if not self._waiting:
                return None if self._closed else []
            group: list[_Batch] = []
            size = 0
            while self._waiting and (not group or size + self._waiting[0].size <= MAX_PER_COMMIT):
                batch = self._waiting.popleft()
                size += batch.size
                if batch.committed.set_running_or_notify_cancel():
                    group.append(batch)
            self._size -= size
            return group

    def _commit(self, group: Sequence[_Batch]) -> None:
        messages = [message for batch in group for message in batch.messages]
        refused = [message for batch in group for message in batch.refused]
        try:
            self._append(messages, refused)
        except Exception as error:
            # If the database is unavailable, it is so for all of them.
            if len(group) > 1 and (isinstance(error, Unstorable) or not isinstance(error, PatronError)):
                for batch in group:  # so that only the batch with the error fails
                    self._commit([batch])
                return
            _log.error("%d events could not be kept: %s", len(messages) + len(refused), type(error).__name__)
            for batch in group:
                batch.committed.set_exception(error)
        else:
            self._retention.add(refused)
            for batch in group:
                batch.committed.set_result(None)

    def _append(self, messages: Sequence[Message], refused: Sequence[Refused]) -> None:
        position = versions.position(self._home)._asdict()
        journal.append(self._database, messages, refused, **position)
