"""The token buckets of request limits, shared by all processes: in files, or in Redis.

A bucket is stored as one moment: when it will be full again. A request moves it forward by the time in which
one token is refilled; if the moment is too far ahead, the request must wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from core import home_id, locks
from core.errors import PatronError, StoreUnavailable
from core.home import Home
from core.home_id import HomeId

MINUTE_US = 60_000_000
PATIENCE_SECONDS = 0.25  # for a call of microseconds; the other requests of the process wait too
_SIZE = 8
SHARES = 300  # a process takes this part of a minute's requests from Redis at a time, or one request
# KEYS: a bucket. ARGV: the present, the results of :func:`terms`, the maximum of a valid bucket, tokens to
# take.
# Returns the number of tokens taken; if there are none, the time to wait as a negative number.
_TAKE = """
local full, now = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])
local each, ahead = tonumber(ARGV[2]), tonumber(ARGV[3])
if full < now or full > now + tonumber(ARGV[4]) then full = now end
if full - now > ahead then return now + ahead - full end
local got = math.min(tonumber(ARGV[5]), 1 + math.floor((now + ahead - full) / each))
redis.call('SET', KEYS[1], string.format('%.0f', full + got * each), 'PX', 120000)
return got
"""


def terms(per_minute: int) -> tuple[int, int]:
    """The time in which one token is refilled, and the maximum of a bucket's moment that still has a token.

    Both in microseconds; the first is rounded up.
    """
    each_us = -(-MINUTE_US // per_minute)
    return each_us, (per_minute - 1) * each_us


def taken(full_us: int, now_us: int, per_minute: int) -> tuple[int, int]:
    """The moment of a full bucket after a request now, and the microseconds to wait; if any, no token is
    taken.

    A moment beyond what a bucket can reach is from before the clock was set back: the bucket counts as full.
    """
    each_us, ahead_us = terms(per_minute)
    if not now_us <= full_us <= now_us + 2 * MINUTE_US:
        full_us = now_us
    wait_us = max(0, full_us - now_us - ahead_us)
    return (full_us, wait_us) if wait_us else (full_us + each_us, 0)


class Buckets(Protocol):
    """Buckets by name of the key; threads and processes may share them."""

    def take(self, name: str, per_minute: int, now_us: int) -> int:
        """Take one token out of a bucket, and return 0; or the microseconds to wait for one.

        Raises:
            PatronError: the buckets cannot be used.
        """
        ...

    def close(self) -> None:
        """Close them; the next call opens them again."""


def open_buckets(home: Home, online_store: str | None) -> Buckets:
    """Buckets in the Redis of this address, or in files of the home; opens nothing yet."""
    if online_store and online_store.startswith(("redis://", "rediss://")):
        return RedisBuckets(online_store, partial(home_id.read, home))
    return FileBuckets(home.limits)


class FileBuckets:
    """One file of eight bytes per bucket, locked for some microseconds by each call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}
        self._mine = threading.Lock()  # the kernel's lock excludes processes, not threads

    def take(self, name: str, per_minute: int, now_us: int) -> int:
        """Take one token, see :class:`Buckets`."""
        with self._mine:
            try:
                file = self._files[name] if name in self._files else self._open(name)
                _lock(file)
                try:
                    full_us = int.from_bytes(os.pread(file, _SIZE, 0), "little")
                    full_us, wait_us = taken(full_us, now_us, per_minute)
                    if not wait_us:
                        os.pwrite(file, full_us.to_bytes(_SIZE, "little"), 0)
                finally:
                    locks.release(file)
            except OSError as error:
                raise PatronError(f"{self._folder} cannot be used: {error.strerror}") from error
        return wait_us

    def close(self) -> None:
        """Close the files."""
        with self._mine:
            for file in self._files.values():
                os.close(file)
            self._files.clear()

    def _open(self, name: str) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        # A name may contain characters that a file name must not.
        path = self._folder / sha256(name.encode()).hexdigest()
        file = self._files[name] = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        return file


def _lock(file: int) -> None:
    """Lock a file; a process that was suspended with the lock must not block the others."""
    if not locks.acquire_within(file, PATIENCE_SECONDS, pause_s=0.0005):
        raise TimeoutError(None, "another process holds a lock")


class RedisBuckets:
    """One string per bucket, which a script on the server reads and writes.

    Calling Redis for each request would take too long, so a process takes several tokens of a large bucket at
    a time; the limit is inexact by as many. The names contain the id of the home.
    """

    def __init__(self, address: str, owner: Callable[[], HomeId | None] = lambda: None) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        at = urlsplit(address)
        self._name = f"{at.scheme}://{at.hostname}:{at.port or 6379}{at.path}"
        self._errors = redis.RedisError
        # One connection: a pool would take as long as the call.
        self._connect = partial(
            redis.Redis.from_url, address, single_connection_client=True, retry=Retry(NoBackoff(), 1),
            socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS,
        )  # fmt: skip
        self._client: Any = None
        self._owner, self._prefix = owner, ""
        self._left: dict[str, int] = {}
        self._mine = threading.Lock()

    def take(self, name: str, per_minute: int, now_us: int) -> int:
        """Take one token, see :class:`Buckets`."""
        with self._mine:
            if not self._left.get(name):
                got = self._request(name, per_minute, now_us)
                if got < 0:
                    return -got
                self._left[name] = got
            self._left[name] -= 1
        return 0

    def _request(self, name: str, per_minute: int, now_us: int) -> int:
        """Call the script, and return its result."""
        args = (now_us, *terms(per_minute), 2 * MINUTE_US, max(1, per_minute // SHARES))
        try:
            if self._client is None:
                self._client, own = self._connect(), self._owner()
                self._prefix = f"patron:limit:{own.id}:" if own is not None else "patron:limit:"
            return int(self._client.eval(_TAKE, 1, f"{self._prefix}{name}", *args))
        except self._errors as error:
            raise StoreUnavailable(f"{self._name} cannot be used: {type(error).__name__}") from error

    def close(self) -> None:
        """Close the connection."""
        with self._mine:
            client, self._client = self._client, None
            if client is not None:
                client.close()
