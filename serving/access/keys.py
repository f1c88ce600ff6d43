"""API keys: who may use the service, and for what. In the home's database.

A key is 256 random bits and is kept as its SHA-256 only. Slow hashing protects secrets that can be
guessed; this one cannot be, and every request would pay for it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from core.circuit_breaker import CircuitBreaker
from core.errors import NothingThere, PatronError
from core.home import Clock, Home
from core.storage.database import METADATA, Database, Turn
from core.storage.database import Key as Number
from serving.access.key import MARK, Key, name_of, rate_of, scopes_of

PREFIX_LENGTH = len(MARK) + 8
BUDGET_S = 1.0  # that a reading of all keys may take
KEPT_SECONDS = 600.0
_CURRENT = sa.text("revoked IS NULL AND replaced IS NULL")
table = sa.Table(
    "keys",
    METADATA,
    sa.Column("n", Number, primary_key=True, autoincrement=True),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("created", sa.Text, nullable=False),
    sa.Column("revoked", sa.Text),
    sa.Column("expires", sa.Text),
    sa.Column("replaced", sa.Text),
    sa.Column("per_minute", sa.Integer),
    sa.Index("keys_by_prefix", "prefix", unique=True),
    sa.Index("current_names", "name", unique=True, sqlite_where=_CURRENT, postgresql_where=_CURRENT),
)


class KeyExpired(PatronError):
    """The key was right, and is over."""


class Keys:
    """The keys of a home.

    :meth:`find` is for every request: it reads memory, and the database where what it read is older than
    twice ``recheck_seconds``. Where it is older than these, but not so old, a thread reads it meanwhile: of
    many who ask nobody waits. While the database cannot be read, it goes by what it read last, for
    ``kept_seconds``. Threads may share it.

    Raises:
        PatronError: from every method, where the database cannot be read.
    """

    def __init__(self, home: Home, recheck_seconds: float = 0.25, kept_seconds: float = KEPT_SECONDS) -> None:
        self._database = Database(home)
        threads = ThreadPoolExecutor(1, "keys") if self._database.on_postgres else None
        self._breaker = CircuitBreaker(f"the database {self._database.name}", BUDGET_S, threads)
        self._ahead = ThreadPoolExecutor(1, "keys-ahead")
        self._reading = False
        self._kept_seconds = kept_seconds
        self._clock = Clock(wall=home.wall)
        self._recheck_seconds = recheck_seconds
        self._lock = threading.Lock()
        self._living: dict[str, tuple[bytes, Key]] | PatronError = {}
        self._checked = self._read_at = float("-inf")

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
        """Make a key, and return it with the secret that its holder sends, which is kept nowhere.

        Args:
            lifetime: after which it expires; None if it never does.
            per_minute: how many requests it may send; None where the service's own limit is to hold.

        Raises:
            PatronError: the name is empty, too long or taken by a living key, a scope is unknown, or a term
                cannot be.
        """
        if lifetime is not None and lifetime <= timedelta(0):
            raise PatronError("a key lives for some time, such as 90d")
        now = self.now()
        key, secret = _drawn(
            Key(
                name_of(name), "", scopes_of(scopes), now,
                expires=now + lifetime if lifetime else None, per_minute=rate_of(per_minute),
            )
        )  # fmt: skip
        with self._database.writing(Turn.ANY) as connection:
            # The name of a key that has expired is free.
            over = table.c.name == key.name, _CURRENT, table.c.expires <= now.isoformat()
            connection.execute(sa.update(table).where(*over).values(replaced=now.isoformat()))
            _insert(connection, key, secret)
        return key, secret

    def rotate(self, name_or_prefix: str, overlap: timedelta) -> tuple[Key, str, Key]:
        """Make a key for a name that has one, of the same scopes, limit and lifetime.

        The old one opens what it did for ``overlap`` yet, if it does not expire before.

        Returns:
            the new key, its secret, and the old one as it is from now on.

        Raises:
            PatronError: no key that was not revoked or replaced has that name or prefix.
        """
        now = self.now()
        old = next((key for key in self._named(name_or_prefix) if not key.replaced), None)
        if old is None:
            raise PatronError("no key that could be rotated has that name; see `patron keys list`")
        expires = now + (old.expires - old.created) if old.expires else None
        key, secret = _drawn(replace(old, created=now, expires=expires))
        ends = min(old.expires or now + overlap, now + overlap)
        with self._database.writing(Turn.ANY) as connection:
            terms = {"replaced": now.isoformat(), "expires": ends.isoformat()}
            mine = table.c.prefix == old.prefix, _CURRENT
            if not connection.execute(sa.update(table).where(*mine).values(terms)).rowcount:
                raise PatronError(
                    f"the key {old.name!r} was rotated or revoked meanwhile; see `patron keys list`"
                )
            _insert(connection, key, secret)
        return key, secret, replace(old, replaced=now, expires=ends)

    def all(self) -> list[Key]:
        """Every key that was ever made, in the order of their creation."""
        return [key for _, key in self._rows()]

    def living(self) -> list[Key]:
        """The keys that open something."""
        now = self.now()
        return [key for key in self.all() if key.lives(now)]

    def revoke(self, name_or_prefix: str) -> list[Key]:
        """Let all keys of a name, or the one of a prefix, open nothing from now on, for good.

        A key's full text serves as its prefix.

        Raises:
            PatronError: no key that was not revoked yet has that name or prefix.
        """
        found = self._named(name_or_prefix)
        if not found:
            raise PatronError(
                f"no living key has the name or prefix {_word(name_or_prefix)!r}; see `patron keys list`"
            )
        now = self.now()
        with self._database.writing(Turn.ANY) as connection:
            mine = table.c.prefix.in_([key.prefix for key in found]), table.c.revoked.is_(None)
            connection.execute(sa.update(table).where(*mine).values(revoked=now.isoformat()))
        return [replace(key, revoked=now) for key in found]

    @property
    def fresh(self) -> bool:
        """Whether :meth:`find` answers from memory."""
        return time.monotonic() < self._checked + 2 * self._recheck_seconds

    def find(self, secret: str) -> Key | None:
        """The living key that this is, if it is one.

        Raises:
            Expired: it was one.
        """
        if not self.fresh:
            with self._lock:
                if not self.fresh:
                    self._read()
        elif time.monotonic() >= self._checked + self._recheck_seconds:
            self._read_ahead()
        living = self._living
        if isinstance(living, PatronError):
            raise living
        # The prefix, which finds the candidate, is no secret; the rest is compared in constant time.
        digest, key = living.get(secret[:PREFIX_LENGTH], (b"", None))
        if key is None or not hmac.compare_digest(digest, _digest(secret)):
            return None
        if key.expires is not None and key.expires <= self.now():
            raise KeyExpired(
                f"the key {key.name!r} expired at {key.expires:%Y-%m-%d %H:%M} UTC; `patron keys rotate`"
                " makes another"
            )
        return key

    def close(self) -> None:
        """Let go of the database; the next :meth:`find` opens it again."""
        self._ahead.submit(lambda: None).result()  # what reads it is done then
        self._checked = float("-inf")
        self._database.close()

    def _named(self, name_or_prefix: str) -> list[Key]:
        """The keys of this name, or the one of this prefix, that open something or are to be had anew."""
        word, now = _word(name_or_prefix), self.now()
        return [
            key
            for key in self.all()
            if word in (key.name, key.prefix) and not key.revoked and (key.lives(now) or not key.replaced)
        ]

    def _read_ahead(self) -> None:
        """Read the database in a thread, unless one does already."""
        if not self._reading:
            self._reading = True
            self._ahead.submit(self._read_beside)

    def _read_beside(self) -> None:
        try:
            with self._lock:
                self._read()
        finally:
            self._reading = False

    def _read(self) -> None:
        try:
            rows = self._breaker(self._rows)
            self._living = {key.prefix: (digest, key) for digest, key in rows if not key.revoked}
            self._read_at = time.monotonic()
        except PatronError as error:
            if time.monotonic() >= self._read_at + self._kept_seconds:
                self._living = error
        self._checked = time.monotonic()

    def _rows(self) -> list[tuple[bytes, Key]]:
        """Every key with its digest; none where there is no database yet."""
        try:
            with self._database.reading() as connection:
                rows = connection.execute(sa.select(table).order_by(table.c.n)).all()
        except NothingThere:
            return []
        return [(bytes(row.digest), _key(row)) for row in rows]


def _key(row: sa.Row[Any]) -> Key:
    created, revoked, expires, replaced = (
        moment and datetime.fromisoformat(moment)
        for moment in (row.created, row.revoked, row.expires, row.replaced)
    )
    scopes = tuple(row.scopes.split(","))
    return Key(row.name, row.prefix, scopes, created, revoked, expires, replaced, row.per_minute)


def _drawn(key: Key) -> tuple[Key, str]:
    """The key with a prefix of its own, and its secret."""
    secret = MARK + secrets.token_urlsafe(32)
    return replace(key, prefix=secret[:PREFIX_LENGTH]), secret


def _insert(connection: sa.Connection, key: Key, secret: str) -> None:
    row = {
        "prefix": key.prefix, "digest": _digest(secret), "name": key.name, "scopes": ",".join(key.scopes),
        "created": key.created.isoformat(), "expires": key.expires and key.expires.isoformat(),
        "per_minute": key.per_minute,
    }  # fmt: skip
    try:
        connection.execute(sa.insert(table), row)
    except sa.exc.IntegrityError as error:
        raise PatronError(
            f"there is a living key {key.name!r}; choose another name, or revoke that one first"
        ) from error


def _word(name_or_prefix: str) -> str:
    """What a key may be known by, of which a key itself says more."""
    return name_or_prefix[:PREFIX_LENGTH] if name_or_prefix.startswith(MARK) else name_or_prefix


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
