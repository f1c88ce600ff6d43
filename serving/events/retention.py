"""Keeps the quarantine within its limits while events arrive, and hourly."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from core.errors import PatronError
from core.storage.database import Database
from events.journal import Refused
from events.segment.retention import QuarantineLimits, prune

INTERVAL_SECONDS = 3600.0
CHECKED_SHARE = 0.01
"""The share of a limit by which a process may let the quarantine grow before it looks at its size again."""
_log = logging.getLogger(__name__)


class QuarantineRetention:
    """Prunes the quarantine when it is due; for one thread.

    Several processes may exceed a limit together, by ``CHECKED_SHARE`` each.
    """

    def __init__(self, database: Database, limits: QuarantineLimits, wall: Callable[[], datetime]) -> None:
        self._database, self._limits, self._wall = database, limits, wall
        self._events = self._bytes = 0
        self._checked_at = time.monotonic()

    @property
    def wait_seconds(self) -> float:
        """The time until the next pruning is due without further messages; 0 if it is due."""
        return max(0.0, self._checked_at + INTERVAL_SECONDS - time.monotonic())

    def add(self, refused: Sequence[Refused]) -> None:
        """Count messages that were stored in the quarantine."""
        self._events += len(refused)
        self._bytes += sum(len(message.message) for message in refused)

    def prune_if_due(self) -> None:
        """Prune the quarantine if the interval is over or much was added."""
        grown = (
            self._events > CHECKED_SHARE * self._limits.events
            or self._bytes > CHECKED_SHARE * self._limits.bytes
        )
        if grown or not self.wait_seconds:
            self.prune()

    def prune(self) -> None:
        """Delete what the quarantine must not hold; a failure is logged."""
        self._events = self._bytes = 0
        self._checked_at = time.monotonic()
        try:
            pruned = prune(self._database, self._limits, self._wall())
        except PatronError as error:
            _log.error("the quarantine could not be pruned: %s", error)
            return
        except Exception as error:  # its text may contain customers' data
            _log.error("the quarantine could not be pruned: unexpected %s", type(error).__name__)
            return
        if pruned.expired:
            days = self._limits.age.days
            _log.info("%d events of the quarantine were deleted: older than %d days", pruned.expired, days)
        if pruned.surplus:
            _log.warning("%d events of the quarantine, the oldest, were deleted: it was full", pruned.surplus)
