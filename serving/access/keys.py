"""API keys: who may use the service, and for what."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime, timedelta

from core.circuit_breaker import CircuitBreaker
from core.errors import PatronError
from core.home import Home
from core.shop import Clock
from core.storage.database import Database
from serving.access.key import MARK, Key, name_of, rate_of, scopes_of
from serving.access.key_table import PREFIX_LENGTH, KeyTable, digest_of, with_secret

BUDGET_S = 1.0  # of a read of all keys
CACHE_SECONDS = 600.0


class KeyExpired(PatronError):
    """The key was valid, and has expired."""


class Keys:
    """The keys of a home.

    :meth:`find` is called for every request and reads memory. If the data in memory are older than
    ``recheck_seconds``, a thread reads the database again in the background; only if they are older than
    twice that time, :meth:`find` reads the database itself. If the database cannot be read, the last data are
    used for ``cache_seconds``. Threads may share it.

    Raises:
        PatronError: from every method, if the database cannot be read.
    """

    def __init__(
        self, home: Home, recheck_seconds: float = 0.25, cache_seconds: float = CACHE_SECONDS
    ) -> None:
        self._database = Database(home)
        self._table = KeyTable(self._database)
        threads = ThreadPoolExecutor(1, "keys") if self._database.on_postgres else None
        self._breaker = CircuitBreaker(f"the database {self._database.name}", BUDGET_S, threads)
        self._background = ThreadPoolExecutor(1, "keys-ahead")
        self._background_read: Future[None] | None = None
        self._reading = False
        self._cache_seconds = cache_seconds
        self._clock = Clock(wall=home.wall)
        self._recheck_seconds = recheck_seconds
        self._lock = threading.Lock()
        self._by_prefix: dict[str, tuple[bytes, Key]] | PatronError = {}
        self._checked_at = self._read_at = float("-inf")

    def now(self) -> datetime:
        """The moment by which keys expire: wall time, in UTC, to the second."""
        return self._clock.now()

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        lifetime: timedelta | None = None,
        per_minute: int | None = None,
    ) -> tuple[Key, str]:
        """Create a key, and return it with its secret, which is not stored.

        Args:
            lifetime: after which it expires; None if it never does.
            per_minute: how many requests it may send; None for the service's own limit.

        Raises:
            PatronError: the name is empty, too long or that of a valid key, a scope is unknown, or the
                lifetime or the limit is out of range.
        """
        if lifetime is not None and lifetime <= timedelta(0):
            raise PatronError("a key's lifetime must be above 0, such as 90d")
        now = self.now()
        key, secret = with_secret(
            Key(
                name_of(name), "", scopes_of(scopes), now,
                expires=now + lifetime if lifetime else None, per_minute=rate_of(per_minute),
            )
        )  # fmt: skip
        self._table.insert(key, secret)
        return key, secret

    def rotate(self, name_or_prefix: str, overlap: timedelta) -> tuple[Key, str, Key]:
        """Create a key in place of another, with its name, scopes, limit and lifetime.

        The old key stays valid for ``overlap``, unless it expires before.

        Returns:
            the new key, its secret, and the old key with its new end.

        Raises:
            PatronError: no key that is neither revoked nor replaced has that name or prefix.
        """
        now = self.now()
        old = next((key for key in self._named(name_or_prefix) if not key.replaced), None)
        if old is None:
            raise PatronError("no key that could be rotated has that name; see `patron keys list`")
        expires = now + (old.expires - old.created) if old.expires else None
        key, secret = with_secret(replace(old, created=now, expires=expires))
        ends = min(old.expires or now + overlap, now + overlap)
        self._table.replace(old, ends, key, secret)
        return key, secret, replace(old, replaced=now, expires=ends)

    def all(self) -> list[Key]:
        """Every key, also those that are no longer valid, in the order of creation."""
        return [key for _, key in self._table.read()]

    def living(self) -> list[Key]:
        """The valid keys."""
        now = self.now()
        return [key for key in self.all() if key.lives(now)]

    def revoke(self, name_or_prefix: str) -> list[Key]:
        """Revoke all keys of a name, or the one of a prefix, for good.

        The full text of a key is accepted as its prefix.

        Raises:
            PatronError: no key that is not revoked yet has that name or prefix.
        """
        keys = self._named(name_or_prefix)
        if not keys:
            raise PatronError(
                f"no valid key has the name or prefix {_without_secret(name_or_prefix)!r}; see"
                " `patron keys list`"
            )
        now = self.now()
        self._table.revoke(keys, now)
        return [replace(key, revoked=now) for key in keys]

    @property
    def fresh(self) -> bool:
        """Whether :meth:`find` answers from memory."""
        return time.monotonic() < self._checked_at + 2 * self._recheck_seconds

    def find(self, secret: str) -> Key | None:
        """The valid key with this secret; None if there is none.

        Raises:
            KeyExpired: it has expired.
        """
        if not self.fresh:
            with self._lock:
                if not self.fresh:
                    self._read()
        elif time.monotonic() >= self._checked_at + self._recheck_seconds:
            self._read_in_background()
        by_prefix = self._by_prefix
        if isinstance(by_prefix, PatronError):
            raise by_prefix
        # The prefix, which selects the candidate, is not secret; the rest is compared in constant time.
        digest, key = by_prefix.get(secret[:PREFIX_LENGTH], (b"", None))
        if key is None or not hmac.compare_digest(digest, digest_of(secret)):
            return None
        if key.expires is not None and key.expires <= self.now():
            raise KeyExpired(
                f"the key {key.name!r} expired at {key.expires:%Y-%m-%d %H:%M} UTC; `patron keys rotate`"
                " makes another"
            )
        return key

    def close(self) -> None:
        """Close the database; the next :meth:`find` opens it again."""
        if self._background_read is not None:
            wait([self._background_read])
        self._checked_at = float("-inf")
        self._database.close()

    def _named(self, name_or_prefix: str) -> list[Key]:
        """The keys of this name, or the one of this prefix, that are valid or can be rotated."""
        word, now = _without_secret(name_or_prefix), self.now()
        return [
            key
            for key in self.all()
            if word in (key.name, key.prefix) and not key.revoked and (key.lives(now) or not key.replaced)
        ]

    def _read_in_background(self) -> None:
        """Read the database in a thread, unless one is reading it already."""
        if not self._reading:
            self._reading = True
            self._background_read = self._background.submit(self._read_and_release)

    def _read_and_release(self) -> None:
        try:
            with self._lock:
                self._read()
        finally:
            self._reading = False

    def _read(self) -> None:
        try:
            rows = self._breaker(self._table.read)
            self._by_prefix = {key.prefix: (digest, key) for digest, key in rows if not key.revoked}
            self._read_at = time.monotonic()
        except PatronError as error:
            if time.monotonic() >= self._read_at + self._cache_seconds:
                self._by_prefix = error
        self._checked_at = time.monotonic()


def _without_secret(name_or_prefix: str) -> str:
    """A name unchanged; of a whole key only its prefix, so that no secret gets into a message."""
    return name_or_prefix[:PREFIX_LENGTH] if name_or_prefix.startswith(MARK) else name_or_prefix
