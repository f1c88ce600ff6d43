"""Request limits of keys: so many requests a minute over all processes of a shop.

A token bucket: it holds the requests of one minute and is refilled evenly. After a minute without requests a
key may send them all at once, and in the long run no more than these a minute.
"""

from __future__ import annotations

from core.calendar import micros
from core.circuit_breaker import CircuitBreaker
from core.errors import PatronError
from core.home import Home
from serving.access.buckets import PATIENCE_SECONDS, open_buckets
from serving.access.key import Key

RETRY_SECONDS = 5.0  # between attempts to read unavailable buckets


class LimitsUnavailable(PatronError):
    """The buckets cannot be read at present."""


class Limits:
    """The request limits of a home's keys; threads may share them.

    Args:
        online_store: the value of ``PATRON_ONLINE_STORE``: with a Redis all machines share the buckets,
            otherwise they are files of the home.
        default: the requests a minute of a key without a limit of its own; None for no limit.
    """

    def __init__(self, home: Home, online_store: str | None, default: int | None) -> None:
        self._wall = home.wall
        self._buckets = open_buckets(home, online_store)
        self._default = default
        self._breaker = CircuitBreaker(
            "the request limits", PATIENCE_SECONDS, failures=1,
            first_pause_s=RETRY_SECONDS, longest_pause_s=RETRY_SECONDS,
            opened="the limits of keys are not enforced for now",
            closed="the limits of keys are enforced again",
        )  # fmt: skip

    def of(self, key: Key) -> int | None:
        """The maximum number of requests a minute of a key; None for no limit."""
        return key.per_minute or self._default

    def wait_seconds(self, key: Key) -> int:
        """Count a request of a key: 0 if it is within the limit, else the whole seconds to wait.

        Raises:
            LimitsUnavailable: the buckets cannot be read.
        """
        per_minute = self.of(key)
        if per_minute is None:
            return 0
        try:
            wait_us = self._breaker(self._buckets.take, key.name, per_minute, micros(self._wall()))
        except PatronError as error:
            raise LimitsUnavailable(str(error)) from error
        return -(-wait_us // 1_000_000)

    def close(self) -> None:
        """Close the buckets; the next request opens them again."""
        self._buckets.close()
