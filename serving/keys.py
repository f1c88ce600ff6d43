"""API keys: who may use the service, and for what. SQLite, in the home.

A key is 256 random bits and is kept as its SHA-256 only. Slow hashing protects secrets that can be
guessed; this one cannot be, and every request would pay for it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from features.errors import PatronError
from features.home import Clock
from serving.scopes import Scope

MARK = "patron_"  # how every key begins, so that people and scanners know one when they see it
PREFIX_LENGTH = len(MARK) + 8
LONGEST_NAME = 60
_TABLE = """
CREATE TABLE IF NOT EXISTS keys (
    prefix TEXT PRIMARY KEY, digest BLOB NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL,
    created TEXT NOT NULL, revoked TEXT)
"""
_ONE_LIVING_NAME = "CREATE UNIQUE INDEX IF NOT EXISTS living_names ON keys (name) WHERE revoked IS NULL"


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

    :meth:`find` is for every request: it reads memory, and looks every ``recheck_seconds`` whether the
    file has changed, through a connection that it keeps; ``close`` lets go of that. Threads may share it.

    Raises:
        PatronError: from every method, where the file cannot be read.
    """

    def __init__(self, path: Path, recheck_seconds: float = 0.25) -> None:
        self.path = path
        self._recheck_seconds = recheck_seconds
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._version: Any = None
        self._living: dict[str, tuple[bytes, Key]] | None = None
        self._checked = float("-inf")

    def create(self, name: str, scopes: Iterable[str]) -> tuple[Key, str]:
        """Make a key, and return it with the secret that its holder sends, which is kept nowhere.

        Raises:
            PatronError: the name is empty, too long or taken by a living key, or a scope is unknown.
        """
        secret = MARK + secrets.token_urlsafe(32)
        key = Key(_name(name), secret[:PREFIX_LENGTH], _scopes(scopes), Clock().now(), None)
        row = (key.prefix, _digest(secret), key.name, ",".join(key.scopes), key.created.isoformat())
        with self._writing() as connection:
            try:
                connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, NULL)", row)
            except sqlite3.IntegrityError as error:
                raise PatronError(
                    f"there is a living key {key.name!r}; choose another name, or revoke that one first"
                ) from error
        return key, secret

    def all(self) -> list[Key]:
        """Living and revoked keys, in the order of their creation."""
        if not self.path.exists():
            return []
        try:
            with closing(_open(self.path, timeout=10)) as connection:
                return [key for _, key in _rows(connection)]
        except (sqlite3.Error, OSError, ValueError) as error:
            raise self._unreadable(error) from error

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
        with self._writing() as connection:
            connection.execute(
                "UPDATE keys SET revoked = ? WHERE prefix = ? AND revoked IS NULL",
                (now.isoformat(), found.prefix),
            )
        return Key(found.name, found.prefix, found.scopes, found.created, now)

    def find(self, secret: str) -> Key | None:
        """The living key that this is, if it is one."""
        with self._lock:
            living = self._current()
        # The prefix, which finds the candidate, is no secret; the rest is compared in constant time.
        digest, key = living.get(secret[:PREFIX_LENGTH], (b"", None))
        return key if hmac.compare_digest(digest, _digest(secret)) else None

    def close(self) -> None:
        """Let go of the file; the next :meth:`find` opens it again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._file = self._version = self._living = None
        self._checked = float("-inf")

    def _current(self) -> dict[str, tuple[bytes, Key]]:
        """The living keys by prefix, read again where the file was changed or replaced."""
        now = time.monotonic()
        if self._living is not None and now < self._checked + self._recheck_seconds:
            return self._living
        try:
            self._living = self._read()
        except (sqlite3.Error, OSError, ValueError) as error:
            busy = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            if busy and self._living is not None:
                return self._living  # what is being committed holds once it is
            self.close()
            raise self._unreadable(error) from error
        self._checked = now
        return self._living

    def _read(self) -> dict[str, tuple[bytes, Key]]:
        try:
            state = self.path.stat()
        except FileNotFoundError:
            state = None
        if state is None or not state.st_size:  # no key was ever made, or the first one is being made
            self.close()
            return {}
        # The time tells a file that was put in the place of this one; the version tells commits, also
        # those that the file system's clock is too coarse to tell apart.
        file = (state.st_ino, state.st_mtime_ns)
        if self._connection is None or file != self._file:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._connection = _open(self.path, timeout=0)
            self._file, self._version = file, None
        version = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version or self._living is None:
            rows = _rows(self._connection)
            self._version = version
            return {key.prefix: (digest, key) for digest, key in rows if not key.revoked}
        return self._living

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction on the file, which is made where it is missing, for its owner's eyes only."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(0o600)
            with closing(_open(self.path, timeout=10)) as connection, connection:
                connection.execute(_TABLE)
                connection.execute(_ONE_LIVING_NAME)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> PatronError:
        return PatronError(
            f"the keys cannot be read ({error}); restore {self.path.name} in PATRON_HOME from a backup,"
            " or move it away and create new keys"
        )


def _open(path: Path, timeout: float) -> sqlite3.Connection:
    """The file as a database; never makes one."""
    address = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(address, uri=True, timeout=timeout, check_same_thread=False)


def _rows(connection: sqlite3.Connection) -> list[tuple[bytes, Key]]:
    """Every key with its digest."""
    rows = connection.execute(
        "SELECT digest, name, prefix, scopes, created, revoked FROM keys ORDER BY rowid"
    ).fetchall()
    return [
        (
            bytes(digest),
            Key(
                name, prefix, tuple(scopes.split(",")), datetime.fromisoformat(created),
                datetime.fromisoformat(revoked) if revoked else None,
            ),
        )
        for digest, name, prefix, scopes, created, revoked in rows
    ]  # fmt: skip


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
