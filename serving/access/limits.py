"""How often a key may ask: so many requests a minute, whichever process of a shop answers them.

A key has a bucket of as many requests as it may send in a minute, and gets them back one by one, evenly.
So after a minute's silence it may send them all at once, and in the long run no more than these a minute.
"""

from __future__ import annotations

import logging
import time

from core.calendar import micros
from core.errors import PatronError
from core.home import Home
from serving.access.buckets import open_buckets
from serving.access.key import Key

RETRY_SECONDS = 5.0  # for which buckets that are away are not asked again
_log = logging.getLogger(__name__)


class Away(PatronError):
    """The buckets cannot be had just now."""


class Limits:
    """The limits of a home's keys; threads may share them.

    Args:
        online_store: what ``PATRON_ONLINE_STORE`` names: in a Redis the buckets are shared by all machines,
            else they are files of the home.
        default: how many requests a minute a key may send that says nothing of it; None if any number.
    """

    def __init__(self, home: Home, online_store: str | None, default: int | None) -> None:
        self._wall = home.wall
        self._buckets = open_buckets(home, online_store)
        self._default = default
        self._away_until = float("-inf")

    def of(self, key: Key) -> int | None:
        """How many requests a minute a key may send; None if any number."""
        return key.per_minute or self._default

    def wait_seconds(self, key: Key) -> int:
        """Take a request of a key: 0 if it may be answered, else the whole seconds until one may.

        Raises:
            Away: nobody knows.
        """
        per_minute = self.of(key)
        if per_minute is None:
            return 0
        was_away = self._away_until > float("-inf")
        if was_away and time.monotonic() < self._away_until:
            raise Away("the limits could not be had a moment ago")
        try:
            wait_us = self._buckets.take(key.name, per_minute, micros(self._wall()))
        except PatronError as error:
            self._away_until = time.monotonic() + RETRY_SECONDS
            if not was_away:
                _log.warning("keys are not held to their limits for now: %s", error)
            raise Away(str(error)) from error
        if was_away:
            self._away_until = float("-inf")
            _log.warning("keys are held to their limits again")
        return -(-wait_us // 1_000_000)

    def close(self) -> None:
        """Let go of the buckets; the next request opens them again."""
        self._buckets.close()
