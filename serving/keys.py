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
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from features.database import METADATA, Database, Turn
from features.database import Key as Number
from features.errors import NothingThere, PatronError
from features.home import Clock, Home
from serving.scopes import Scope

MARK = "patron_"  # how every key begins, so that people and scanners know one when they see it
PREFIX_LENGTH = len(MARK) + 8
LONGEST_NAME = 60
_LIVES = sa.text("revoked IS NULL")
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
    sa.Index("keys_by_prefix", "prefix", unique=True),
    sa.Index("living_names", "name", unique=True, sqlite_where=_LIVES, postgresql_where=_LIVES),
)


@dataclass(frozen=True)
class Key:
    """A key as it is known: never the key itself.

    Attributes:
        prefix: its first characters, to recognise it by.
        created, revoked: wall time, UTC; a key that lives was not revoked.
    """

    name: str
    prefix: str
    scopes: tuple[str, ...]
    created: datetime
    revoked: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """The key for JSON, moments as ISO 8601."""
        return asdict(self) | {
            "created": self.created.isoformat(),
            "revoked": self.revoked and self.revoked.isoformat(),
        }


class Keys:
    """The keys of a home.

    :meth:`find` is for every request: it reads memory, and the database where what it read is older than
    ``recheck_seconds``. Threads may share it.

    Raises:
        PatronError: from every method, where the database cannot be read.
    """

    def __init__(self, home: Home, recheck_seconds: float = 0.25) -> None:
        self._database = Database(home)
        self._recheck_seconds = recheck_seconds
        self._lock = threading.Lock()
        self._living: dict[str, tuple[bytes, Key]] | PatronError = {}
        self._checked = float("-inf")

    def create(self, name: str, scopes: Iterable[str]) -> tuple[Key, str]:
        """Make a key, and return it with the secret that its holder sends, which is kept nowhere.

        Raises:
            PatronError: the name is empty, too long or taken by a living key, or a scope is unknown.
        """
        secret = MARK + secrets.token_urlsafe(32)
        key = Key(_name(name), secret[:PREFIX_LENGTH], _scopes(scopes), Clock().now(), None)
        row = {
            "prefix": key.prefix, "digest": _digest(secret), "name": key.name,
            "scopes": ",".join(key.scopes), "created": key.created.isoformat(),
        }  # fmt: skip
        with self._database.writing(Turn.ANY) as connection:
            try:
                connection.execute(sa.insert(table), row)
            except sa.exc.IntegrityError as error:
                raise PatronError(
                    f"there is a living key {key.name!r}; choose another name, or revoke that one first"
                ) from error
        return key, secret

    def all(self) -> list[Key]:
        """Living and revoked keys, in the order of their creation."""
        return [key for _, key in self._rows()]

    def living(self) -> list[Key]:
        """The keys that open something."""
        return [key for key in self.all() if not key.revoked]

    def revoke(self, name_or_prefix: str) -> Key:
        """Let a living key open nothing from now on, for good. A key's full text serves as its prefix.

        Raises:
            PatronError: no living key has that name or prefix.
        """
        wanted = name_or_prefix[:PREFIX_LENGTH] if name_or_prefix.startswith(MARK) else name_or_prefix
        found = next((key for key in self.living() if wanted in (key.name, key.prefix)), None)
        if found is None:
            raise PatronError(f"no living key has the name or prefix {wanted!r}; see `patron keys list`")
        now = Clock().now()
        with self._database.writing(Turn.ANY) as connection:
            mine = table.c.prefix == found.prefix, table.c.revoked.is_(None)
            connection.execute(sa.update(table).where(*mine).values(revoked=now.isoformat()))
        return Key(found.name, found.prefix, found.scopes, found.created, now)

    @property
    def fresh(self) -> bool:
        """Whether :meth:`find` answers from memory."""
        return time.monotonic() < self._checked + self._recheck_seconds

    def find(self, secret: str) -> Key | None:
        """The living key that this is, if it is one."""
        if not self.fresh:
            with self._lock:
                if not self.fresh:
                    self._read()
        living = self._living
        if isinstance(living, PatronError):
            raise living
        # The prefix, which finds the candidate, is no secret; the rest is compared in constant time.
        digest, key = living.get(secret[:PREFIX_LENGTH], (b"", None))
        return key if hmac.compare_digest(digest, _digest(secret)) else None

    def close(self) -> None:
        """Let go of the database; the next :meth:`find` opens it again."""
        self._checked = float("-inf")
        self._database.close()

    def _read(self) -> None:
        try:
            self._living = {key.prefix: (digest, key) for digest, key in self._rows() if not key.revoked}
        except PatronError as error:
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
    revoked = datetime.fromisoformat(row.revoked) if row.revoked else None
    scopes = tuple(row.scopes.split(","))
    return Key(row.name, row.prefix, scopes, datetime.fromisoformat(row.created), revoked)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _name(name: str) -> str:
    """The name without space around it, once it can be told from a key and from other names."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise PatronError(f"a key's name takes 1 to {LONGEST_NAME} printable characters")
    if name.startswith(MARK):
        raise PatronError(f"a key's name must not begin with {MARK}, as keys do")
    return name


def _scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes in the order of :class:`Scope`, each once."""
    asked = {scope.strip() for scope in scopes} - {""}
    if unknown := sorted(asked - set(Scope)):
        raise PatronError(f"there is no scope {unknown[0]!r}; there are {', '.join(Scope)}")
    if not asked:
        raise PatronError(f"name the key's scopes: {', '.join(Scope)}")
    return tuple(scope.value for scope in Scope if scope in asked)
