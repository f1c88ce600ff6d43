"""A home's database: a file of its own, or PostgreSQL where ``PATRON_DATABASE`` names one.

Tables are declared beside what uses them, on ``METADATA``; ``features/migrations`` makes them. Whoever
only reads changes nothing; the first to write brings the tables up to date.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from core.errors import NothingThere, PatronError
from core.home import Home
from core.storage import migrations
from core.storage import sqlite_file as database_file

METADATA = sa.MetaData()
Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""The type of numbers that rows are known by: SQLite numbers rows itself only where they are INTEGER."""
_LOCKS = 0x5041_5452
_ERRORS = (sa.exc.SQLAlchemyError, sqlite3.Error, OSError)
# So that a server which is gone is noticed: seconds to connect, milliseconds until what was sent is received.
_PATIENCE = {"connect_timeout": 5, "tcp_user_timeout": 10_000}


class Unstorable(PatronError):
    """The database refuses a value; nothing of the transaction was written."""


class Turn(IntEnum):
    """Writers of one kind come one after the other; in an SQLite file all writers do."""

    EVENTS = 1  # so that whoever sees a number of the journal has seen all below it
    DECISIONS = 2  # so that one of those who ask at once decides
    TABLES = 3
    ANY = 0  # waits for nobody


class Database:
    """A home's database; threads may share it, and all of a process share its connections.

    Attributes:
        name: what and where it is, for messages; without credentials.
    """

    def __init__(self, home: Home) -> None:
        self._connections = _connections_of(home)
        self.name = self._connections.name

    @property
    def on_postgres(self) -> bool:
        """Whether it is PostgreSQL; it is an SQLite file otherwise."""
        return self._connections.file is None

    def prepare(self) -> None:
        """Make the database, or bring its tables up to date, where that is needed.

        Raises:
            PatronError: it cannot be used, or is of a newer Patron.
        """
        with self._speaking():
            self._connections.open(write=True)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one moment of the database.

        Raises:
            NothingThere: nothing was ever written.
            PatronError: the database cannot be used.
        """
        with self._speaking():
            self._connections.open(write=False)
            with self._connections.reading() as connection:
                yield connection

    def first(self, statement: str, values: Sequence[Any]) -> Sequence[Any] | None:
        """The first row that a SELECT finds, past SQLAlchemy, whose part costs more than the answer.

        Args:
            statement: as SQL, with a question mark for each value.

        Raises:
            NothingThere: nothing was ever written.
            PatronError: the database cannot be used.
        """
        try:  # asked with every score: a context would cost more than SQLite
            self._connections.open(write=False)
            found: Sequence[Any] | None = self._connections.first(statement, values)
        except _ERRORS as error:
            raise self._told(error) from error
        return found

    @contextmanager
    def writing(self, turn: Turn = Turn.EVENTS, *, durable: bool = True) -> Iterator[sa.Connection]:
        """A transaction: all of it or nothing.

        Args:
            turn: which writers wait for each other.
            durable: whether it outlives a power cut once left; it outlives a killed process either way.

        Raises:
            PatronError: the database cannot be used; nothing was written.
        """
        with self._speaking():
            self._connections.open(write=True)
            with self._connections.writing(turn, durable) as connection:
                yield connection

    def close(self) -> None:
        """Let go of the connections; whoever goes on using the database opens it again."""
        self._connections.let_go()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except _ERRORS as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> PatronError:
        """What a person is told of an error of the database."""
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
    connection: sa.Connection, column: sa.Column[Any], values: Sequence[str] | Sequence[int]
) -> sa.ColumnElement[bool]:
    """Whether a column has one of many values, which are sent as one; a list of them costs far more."""
    if connection.dialect.name == "postgresql":
        return column == sa.any_(sa.literal(values, postgresql.ARRAY(column.type)))
    listed = sa.func.json_each(json.dumps(values)).table_valued("value")
    return column.in_(sa.select(listed.c.value))


class _Connections:
    """The pool of connections to one database in this process, and what is known of its tables."""

    def __init__(self, home: Home) -> None:
        self.file: Path | None = None if home.database is not None else home.database_file
        self.engine = database_file.engine(self.file) if self.file else _server(home.database_address)
        url = self.engine.url
        server = ":".join(str(part) for part in (url.host or "localhost", url.port) if part)
        self.name = str(self.file) if self.file else f"postgresql://{server}/{url.database or ''}"
        self._quick: deque[sqlite3.Connection] = deque()  # past SQLAlchemy's pool, which costs twice the read
        self._seen = self._identity()
        self._revision: str | None = None
        weakref.finalize(self, _close, self.engine, self._quick)

    def open(self, *, write: bool) -> None:
        """Make sure once that the tables are there and of this Patron."""
        self._look()
        if self._revision == migrations.HEAD:
            return
        if self.file and write:
            database_file.make(self.file)
        found = self._found()
        if found is not None and found > migrations.HEAD:
            raise PatronError(
                f"the database {self.name} is of a newer Patron (its tables are at {found}, this one knows"
                f" {migrations.HEAD}); use that version, or another home"
            )
        if found != migrations.HEAD:
            if not write and found is None:
                raise NothingThere(f"the database {self.name} is empty; import or simulate a shop first")
            if not write:
                raise PatronError(
                    f"the database {self.name} is of an older Patron (its tables are at {found});"
                    " `patron doctor` brings it up to date"
                )
            with self.writing(Turn.TABLES, durable=True) as connection:
                migrations.upgrade(connection)
        self._revision = migrations.HEAD

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        level = {} if self.file else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**level) as connection:
            yield connection

    def first(self, statement: str, values: Sequence[Any]) -> Any:
        if self.file:
            try:
                connection = self._quick.pop()
            except IndexError:
                connection = database_file.connect(self.file, database_file.QUICK_BUSY_SECONDS)
            try:
                row = connection.execute(statement, values).fetchone()
            except BaseException:
                connection.close()
                raise
            self._quick.append(connection)
            return row
        statement = statement.replace("?", "%s")
        pooled, driver = self.engine.raw_connection(), cast(Any, self.engine.dialect.dbapi)
        try:
            return cast(Any, pooled.driver_connection).execute(statement, values).fetchone()
        except driver.Error as error:
            pooled.invalidate()
            raise sa.exc.DBAPIError(statement, None, error) from error
        finally:
            pooled.close()

    @contextmanager
    def writing(self, turn: Turn, durable: bool) -> Iterator[sa.Connection]:
        how = {database_file.WRITING: durable} if self.file else {"isolation_level": "READ COMMITTED"}
        alone = database_file.alone(self.file) if self.file else nullcontext()
        with alone, self.engine.connect().execution_options(**how) as connection, connection.begin():
            if not self.file:
                if not durable:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                if turn:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCKS, turn.value)))
            yield connection

    def let_go(self) -> None:
        """Close the connections; others are opened for whoever goes on."""
        _close(self.engine, self._quick)

    def _found(self) -> str | None:
        if self.file and not self.file.exists():
            return None
        with self.reading() as connection:
            return migrations.revision(connection)

    def _look(self) -> None:
        """Let go of connections to a file since replaced."""
        if (now := self._identity()) != self._seen:
            self.let_go()
            self._seen, self._revision = now, None

    def _identity(self) -> tuple[int, ...]:
        if self.file is None:
            return ()
        try:
            stat = self.file.stat()
        except FileNotFoundError:
            return ()
        return stat.st_dev, stat.st_ino


def _close(engine: sa.Engine, quick: deque[sqlite3.Connection]) -> None:
    engine.dispose()
    with suppress(IndexError):
        while True:
            quick.pop().close()


_shared: weakref.WeakValueDictionary[str, _Connections] = weakref.WeakValueDictionary()
_sharing = threading.Lock()


def _connections_of(home: Home) -> _Connections:
    """Those that others of this process have, as long as somebody has them."""
    _before_a_fork_let_go()
    with _sharing:
        found = _shared.get(home.database_address)
        if found is None:
            found = _shared[home.database_address] = _Connections(home)
    return found


@cache
def _before_a_fork_let_go() -> None:
    """Neither SQLite's locks nor a server's connections can be shared with a child."""

    def let_go() -> None:
        for connections in list(_shared.values()):
            connections.let_go()

    os.register_at_fork(before=let_go)


def _server(address: str) -> sa.Engine:
    try:
        url = sa.make_url(address)
        if url.get_dialect() is not postgresql.psycopg.dialect or not url.database:
            raise ValueError(url.drivername)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ValueError) as error:
        raise PatronError(
            "PATRON_DATABASE is not the address of a database that Patron knows; use"
            " postgresql://user:password@host:port/name, or leave it unset for a file in the home"
        ) from error
    patience = {name: value for name, value in _PATIENCE.items() if name not in url.query}
    return sa.create_engine(url, pool_pre_ping=True, connect_args=patience)


def _advice(cause: object) -> str:
    if isinstance(cause, sqlite3.Error):
        damaged = not isinstance(cause, sqlite3.OperationalError)
        return "; restore it from a backup" if damaged else ""
    return "; see that the server runs and PATRON_DATABASE is right" if isinstance(cause, Exception) else ""
