"""Asking a store that may be away: for so long and no longer, and not again and again while it is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from concurrent.futures import TimeoutError as TookTooLong
from typing import ParamSpec, TypeVar

from core.errors import PatronError

FAILURES = 3  # in a row, after which it is left alone for a while
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class Guard:
    """A circuit breaker (Nygard, Release It!, 2007): closed, open, and one who tries when a pause is over.

    Threads may share it.

    Args:
        name: of what is asked, for messages.
        budget_s: how many seconds a call may take.
        threads: make the calls, for a store that cannot be told how long it may take; None for one that
            was told.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        name: str,
        budget_s: float,
        threads: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._budget_s, self._threads, self._clock = budget_s, threads, clock
        self._failures, self._pause_s, self._again_at, self._why = 0, FIRST_PAUSE_S, 0.0, ""
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether the store is left alone."""
        return self._failures >= FAILURES

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns.

        Raises:
            PatronError: it failed, took too long, or failed a moment ago.
        """
        if self.open:
            with self._lock:
                if self.open and self._clock() < self._again_at:
                    raise PatronError(self._why)
                self._again_at = self._clock() + self._pause_s  # while this one tries, others do not
        return self.now(function, *args, **kwargs)

    def now(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, also where it failed a moment ago: for whoever asks how things stand.

        Raises:
            PatronError: it failed, or took too long.
        """
        try:
            found = self._bounded(function, *args, **kwargs)
        except PatronError as error:
            self._failed(str(error))
            raise
        if self._failures:
            self._went_well()
        return found

    def _bounded(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._threads is None:
            return function(*args, **kwargs)
        asked = self._threads.submit(function, *args, **kwargs)
        try:
            return asked.result(self._budget_s)
        except TookTooLong:
            asked.cancel()
            raise PatronError(f"{self.name} gave no answer within {1000 * self._budget_s:.0f} ms") from None

    def _failed(self, why: str) -> None:
        with self._lock:
            self._failures, self._why = self._failures + 1, why
            if self._failures >= FAILURES:
                if self._failures == FAILURES:
                    _log.error("answers go on without %s: %s", self.name, why)
                    self._pause_s = FIRST_PAUSE_S
                else:
                    self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
                self._again_at = self._clock() + self._pause_s

    def _went_well(self) -> None:
        with self._lock:
            if self.open:
                _log.warning("%s answers again", self.name)
            self._failures = 0
