"""A home's database: a file of its own, or PostgreSQL where ``PATRON_DATABASE`` names one.

Tables are declared next to the code that uses them, on ``METADATA``; ``core/storage/migrations`` creates
them. A reader changes nothing; the first writer brings the tables up to date.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from core.errors import PatronError
from core.home import Home
from core.storage.connections import Turn, connections_of

METADATA = sa.MetaData()
Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""The type of row numbers: SQLite assigns them itself only where they are INTEGER."""
_ERRORS = (sa.exc.SQLAlchemyError, sqlite3.Error, OSError)


class Unstorable(PatronError):
    """The database cannot store a value; nothing of the transaction was written."""


class Database:
    """A home's database; threads may share it, and all of a process share its connections.

    Attributes:
        name: what and where it is, for messages; without credentials.
    """

    def __init__(self, home: Home) -> None:
        self._connections = connections_of(home)
        self.name = self._connections.name

    @property
    def on_postgres(self) -> bool:
        """Whether it is PostgreSQL; it is an SQLite file otherwise."""
        return self._connections.file is None

    def prepare(self) -> None:
        """Create the database, or bring its tables up to date, if needed.

        Raises:
            PatronError: it cannot be used, or is of a newer Patron.
        """
        with self._translating():
            self._connections.open(write=True)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one moment of the database.

        Raises:
            NothingThere: the database is empty.
            PatronError: the database cannot be used.
        """
        with self._translating():
            self._connections.open(write=False)
            with self._connections.reading() as connection:
                yield connection

    def first(self, statement: str, values: Sequence[Any]) -> Sequence[Any] | None:
        """The first row of a SELECT, without SQLAlchemy, which would cost more than the query.

        Args:
            statement: as SQL, with a question mark for each value.

        Raises:
            NothingThere: the database is empty.
            PatronError: the database cannot be used.
        """
        try:  # part of every score request: a context would cost more than SQLite
            self._connections.open(write=False)
            row: Sequence[Any] | None = self._connections.first(statement, values)
        except _ERRORS as error:
            raise self._in_words(error) from error
        return row

    @contextmanager
    def writing(self, turn: Turn = Turn.EVENTS, *, durable: bool = True) -> Iterator[sa.Connection]:
        """A transaction: all of it or nothing.

        Args:
            turn: which writers wait for each other.
            durable: whether it outlives a power cut once left; it outlives a killed process either way.

        Raises:
            PatronError: the database cannot be used; nothing was written.
        """
        with self._translating():
            self._connections.open(write=True)
            with self._connections.writing(turn, durable) as connection:
                yield connection

    def close(self) -> None:
        """Close the connections; the next use opens others."""
        self._connections.close()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except _ERRORS as error:
            raise self._in_words(error) from error

    def _in_words(self, error: Exception) -> PatronError:
        """An error of the database, as a person reads it."""
        cause = getattr(error, "orig", None) or error
        # The first line only: PostgreSQL quotes values in those that follow.
        why = str(cause).strip().partition("\n")[0]
        kind = Unstorable if isinstance(error, sa.exc.DataError) else PatronError
        return kind(f"the database {self.name} cannot be used: {why}{_advice(cause)}")


def insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT for this kind of database, which can say what to do ``on_conflict``."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def among(
    connection: sa.Connection, column: sa.ColumnElement[Any], values: Sequence[str] | Sequence[int]
) -> sa.ColumnElement[bool]:
    """Whether a column has one of many values, which are sent as one; a list of them costs far more."""
    if connection.dialect.name == "postgresql":
        return column == sa.any_(sa.literal(values, postgresql.ARRAY(column.type)))
    listed = sa.func.json_each(json.dumps(values)).table_valued("value")
    return column.in_(sa.select(listed.c.value))


def _advice(cause: object) -> str:
    if isinstance(cause, sqlite3.Error):
        damaged = not isinstance(cause, sqlite3.OperationalError)
        return "; restore it from a backup" if damaged else ""
    return "; see that the server runs and PATRON_DATABASE is right" if isinstance(cause, Exception) else ""
