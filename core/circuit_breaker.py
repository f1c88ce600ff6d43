"""A circuit breaker: limits the time of calls to a store, and pauses them while it fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import ParamSpec, TypeVar

from core.errors import PatronError, StoreUnavailable

FAILURES = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class CircuitBreaker:
    """Calls a store until several calls in a row fail; then tries one call after each pause (Nygard, Release
    It!).

    A pause is twice as long as the one before, up to ``longest_pause_s``. Threads may share a breaker.

    Args:
        name: the store's name, for messages.
        budget_s: how many seconds a call in ``threads`` may take.
        threads: the executor of the calls, for a store whose client has no timeout; None for a client
            that has one.
        clock: a monotonic clock, in seconds.
        failures: how many failures in a row open the circuit.
        opened, closed: the log messages for an opened circuit, and for a store that answers again.
        logged: whether they are logged.
    """

    def __init__(
        self,
        name: str,
        budget_s: float,
        threads: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        failures: int = FAILURES,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        opened: str | None = None,
        closed: str | None = None,
        logged: bool = True,
    ) -> None:
        self.name = name
        self._budget_s, self._threads, self._clock = budget_s, threads, clock
        self._failures_to_open = failures
        self._first_pause_s, self._longest_pause_s = first_pause_s, longest_pause_s
        self._opened = opened or f"requests are answered without {name}"
        self._closed = closed or f"{name} answers again"
        self._logged = logged
        self._failures, self._pause_s, self._retry_at, self._why = 0, first_pause_s, 0.0, PatronError()
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether calls are paused."""
        return self._failures >= self._failures_to_open

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function, and return what it returns.

        Raises:
            PatronError: the call failed or took too long, or the circuit is open.
        """
        if self.open:
            with self._lock:
                if self.open and self._clock() < self._retry_at:
                    raise type(self._why)(str(self._why))
                self._retry_at = self._clock() + self._pause_s  # other threads do not try meanwhile
        return self.call_even_if_open(function, *args, **kwargs)

    def call_even_if_open(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function without regard to the pause, to check the store's state.

        Raises:
            PatronError: the call failed or took too long.
        """
        try:
            result = self._call_within_budget(function, *args, **kwargs)
        except PatronError as error:
            self.count_failure(error)
            raise
        if self._failures:
            self._reset()
        return result

    def _call_within_budget(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._threads is None:
            return function(*args, **kwargs)
        future = self._threads.submit(function, *args, **kwargs)
        try:
            return future.result(self._budget_s)
        except FutureTimeout:
            future.cancel()
            raise StoreUnavailable(
                f"{self.name} gave no answer within {1000 * self._budget_s:.0f} ms"
            ) from None

    def count_failure(self, why: PatronError) -> None:
        """Count a failure that was noticed elsewhere, as if a call had failed."""
        with self._lock:
            self._failures, self._why = self._failures + 1, why
            if not self.open:
                return
            if self._failures == self._failures_to_open:
                if self._logged:
                    _log.error("%s: %s", self._opened, why)
                self._pause_s = self._first_pause_s
            else:
                self._pause_s = min(2 * self._pause_s, self._longest_pause_s)
            self._retry_at = self._clock() + self._pause_s

    def _reset(self) -> None:
        with self._lock:
            if self.open and self._logged:
                _log.warning("%s", self._closed)
            self._failures = 0
