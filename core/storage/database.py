"""A home's database: an SQLite file, or PostgreSQL if ``PATRON_DATABASE`` is set.

Tables are declared next to the code that uses them, on ``METADATA``; ``core/storage/migrations`` creates
them. Readers change nothing; the first writer migrates the tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from core.errors import PatronError, StoreUnavailable
from core.home import Home
from core.storage import ownership
from core.storage.batches import Lookup, Rows, Statement
from core.storage.connections import Turn, connections_of

METADATA = sa.MetaData()
Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""The type of row numbers: SQLite assigns numbers automatically only to INTEGER columns."""
WriteRows: TypeAlias = Callable[[sa.Connection], None]
"""Writes rows within a transaction."""
home_ids = sa.Table(  # one row; see core.storage.ownership
    ownership.TABLE, METADATA, sa.Column("id", sa.Text, nullable=False)
)
_ERRORS = (sa.exc.SQLAlchemyError, sqlite3.Error, OSError)


class Unstorable(PatronError):
    """The database cannot store a value; nothing of the transaction was written."""


class Database:
    """A home's database. Threads may share it; all instances in a process share their connections.

    Attributes:
        name: the kind and place of the database, for messages; without credentials.
    """

    def __init__(self, home: Home) -> None:
        self._connections = connections_of(home)
        self.name = self._connections.name

    @property
    def on_postgres(self) -> bool:
        """Whether it is PostgreSQL; it is an SQLite file otherwise."""
        return self._connections.file is None

    def prepare(self) -> None:
        """Create the database or migrate its tables, if needed.

        Raises:
            PatronError: the database cannot be used, or a newer Patron has migrated it.
        """
        with self._translating():
            self._connections.open(write=True)

    def attach(self) -> None:
        """Give database and home one id although one of them has none, because a person says so.

        Raises:
            PatronError: the database cannot be used, or belongs to another home.
        """
        with self._translating():
            self._connections.claim(attach=True)

    @contextmanager
    def replacing(self) -> Iterator[sa.Connection]:
        """A transaction on a server in which all tables are replaced, whichever home they belong to.

        Raises:
            PatronError: the database cannot be used; nothing was changed.
        """
        with self._translating(), self._connections.replacing() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A read-only connection with a consistent snapshot of the database.

        Raises:
            NothingThere: the database is empty.
            PatronError: the database cannot be used.
        """
        with self._translating():
            self._connections.open(write=False)
            with self._connections.reading() as connection:
                yield connection

    def first(self, statement: str, values: Sequence[Any]) -> Sequence[Any] | None:
        """The row of a SELECT that returns at most one; None if there is none. See :meth:`rows`."""
        rows = self.rows(statement, values)
        return rows[0] if rows else None

    def rows(self, statement: str, values: Sequence[Any]) -> list[Sequence[Any]]:
        """The rows of a SELECT. Bypasses SQLAlchemy, which would cost more than the query.

        Args:
            statement: as SQL, with a question mark for each value.

        Raises:
            NothingThere: the database is empty.
            PatronError: the database cannot be used.
        """
        try:  # in the path of every score request: a context manager would cost more than SQLite
            self._connections.open(write=False)
            rows: list[Sequence[Any]] = self._connections.rows(statement, values)
        except _ERRORS as error:
            raise self._in_words(error) from error
        return rows

    @contextmanager
    def writing(self, turn: Turn = Turn.EVENTS, *, durable: bool = True) -> Iterator[sa.Connection]:
        """A transaction, which is committed on exit and rolled back on an error.

        Args:
            turn: which writers wait for each other.
            durable: whether it survives a power cut once committed; it survives a killed process either way.

        Raises:
            PatronError: the database cannot be used; nothing was written.
        """
        with self._translating():
            self._connections.open(write=True)
            with self._connections.writing(turn, durable) as (connection, _):
                yield connection

    @contextmanager
    def writing_after(self, lookups: Sequence[Lookup]) -> Iterator[tuple[sa.Connection, list[Rows]]]:
        """A durable transaction in the turn of events, and the rows of lookups in it; see :meth:`writing`."""
        with self._translating():
            self._connections.open(write=True)
            with self._connections.writing(Turn.EVENTS, True, lookups) as (connection, rows):
                yield connection, rows

    def write_at_once(self, statement: Statement, turn: Turn) -> Rows:
        """The rows of a statement of PostgreSQL in a durable transaction of its own; see :meth:`writing`.

        It takes one round trip, while other writers of its turn wait.
        """
        with self._translating():
            self._connections.open(write=True)
            return self._connections.write_at_once(statement, turn)

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._connections.close()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except _ERRORS as error:
            raise self._in_words(error) from error

    def _in_words(self, error: Exception) -> PatronError:
        """A database error as a PatronError with a readable message."""
        cause = getattr(error, "orig", None) or error
        # Only the first line: the following lines of PostgreSQL's messages quote values.
        why = str(cause).strip().partition("\n")[0]
        kind = Unstorable if isinstance(error, sa.exc.DataError) else PatronError
        if _is_temporary(error, cause):
            kind = StoreUnavailable
        return kind(f"the database {self.name} cannot be used: {why}{_advice(cause)}")


def insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT for this kind of database, which supports ``on_conflict``."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def among(
    connection: sa.Connection, column: sa.ColumnElement[Any], values: Sequence[str] | Sequence[int]
) -> sa.ColumnElement[bool]:
    """Whether a column has one of many values; they are sent as a single parameter, which is much faster."""
    if len(values) == 1:
        return column == values[0]
    if connection.dialect.name == "postgresql":
        return column == sa.any_(sa.literal(values, postgresql.ARRAY(column.type)))
    listed = sa.func.json_each(json.dumps(values)).table_valued("value")
    return column.in_(sa.select(listed.c.value))


def _is_temporary(error: Exception, cause: object) -> bool:
    """Whether a later attempt may succeed: the server cannot be reached, or the file is locked."""
    if isinstance(cause, sqlite3.OperationalError):
        # The primary code is the lowest byte.
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError | sa.exc.TimeoutError)


def _advice(cause: object) -> str:
    if isinstance(cause, sqlite3.Error):
        damaged = not isinstance(cause, sqlite3.OperationalError)
        return "; restore it from a backup" if damaged else ""
    return "; see that the server runs and PATRON_DATABASE is right" if isinstance(cause, Exception) else ""
