"""The table of API keys in the home's database.

A key is 256 random bits, and only its SHA-256 is stored. Slow hashing is for secrets that can be guessed; a
key cannot be, and the hashing would slow every request.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.errors import NothingThere, PatronError
from core.storage.connections import Turn
from core.storage.database import METADATA, Database
from core.storage.database import Key as Number
from serving.access.key import MARK, Key

PREFIX_LENGTH = len(MARK) + 8
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


def with_secret(key: Key) -> tuple[Key, str]:
    """The key with a new prefix, and its new secret."""
    secret = MARK + secrets.token_urlsafe(32)
    return replace(key, prefix=secret[:PREFIX_LENGTH]), secret


def digest_of(secret: str) -> bytes:
    """The stored digest of a secret."""
    return hashlib.sha256(secret.encode()).digest()


class KeyTable:
    """Reads and writes the rows.

    Raises:
        PatronError: from every method, if the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> list[tuple[bytes, Key]]:
        """Every key with its digest, in the order of creation; none if there is no database yet."""
        try:
            with self._database.reading() as connection:
                rows = connection.execute(sa.select(table).order_by(table.c.n)).all()
        except NothingThere:
            return []
        return [(bytes(row.digest), _key(row)) for row in rows]

    def insert(self, key: Key, secret: str) -> None:
        """Add a key. If a key of its name has expired, that key is replaced.

        Raises:
            PatronError: the name is that of a valid key.
        """
        with self._database.writing(Turn.ANY) as connection:
            now = key.created.isoformat()
            expired = table.c.name == key.name, _CURRENT, table.c.expires <= now
            connection.execute(sa.update(table).where(*expired).values(replaced=now))
            _insert(connection, key, secret)

    def replace(self, old: Key, ends: datetime, key: Key, secret: str) -> None:
        """Add a key in place of another of its name, which expires when its time ``ends``.

        Raises:
            PatronError: the other one was replaced or revoked meanwhile.
        """
        with self._database.writing(Turn.ANY) as connection:
            values = {"replaced": key.created.isoformat(), "expires": ends.isoformat()}
            row = table.c.prefix == old.prefix, _CURRENT
            if not connection.execute(sa.update(table).where(*row).values(values)).rowcount:
                raise PatronError(
                    f"the key {old.name!r} was rotated or revoked meanwhile; see `patron keys list`"
                )
            _insert(connection, key, secret)

    def revoke(self, keys: Sequence[Key], now: datetime) -> None:
        """Revoke these keys, unless they are revoked already."""
        with self._database.writing(Turn.ANY) as connection:
            rows = table.c.prefix.in_([key.prefix for key in keys]), table.c.revoked.is_(None)
            connection.execute(sa.update(table).where(*rows).values(revoked=now.isoformat()))


def _key(row: sa.Row[Any]) -> Key:
    created, revoked, expires, replaced = (
        moment and datetime.fromisoformat(moment)
        for moment in (row.created, row.revoked, row.expires, row.replaced)
    )
    scopes = tuple(row.scopes.split(","))
    return Key(row.name, row.prefix, scopes, created, revoked, expires, replaced, row.per_minute)


def _insert(connection: sa.Connection, key: Key, secret: str) -> None:
    row = {
        "prefix": key.prefix, "digest": digest_of(secret), "name": key.name, "scopes": ",".join(key.scopes),
        "created": key.created.isoformat(), "expires": key.expires and key.expires.isoformat(),
        "per_minute": key.per_minute,
    }  # fmt: skip
    try:
        connection.execute(sa.insert(table), row)
    except sa.exc.IntegrityError as error:
        raise PatronError(
            f"there is a valid key {key.name!r}; choose another name, or revoke that key first"
        ) from error
