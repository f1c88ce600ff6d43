"""The connections of a process to a home's database: to an SQLite file, or to PostgreSQL."""

from __future__ import annotations

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
from sqlalchemy.dialects import postgresql

from core import home_id
from core.errors import NothingThere, PatronError
from core.home import Home
from core.storage import batches, migrations, ownership, sqlite_file
from core.storage.batches import Lookup, Rows, Statement


class Turn(IntEnum):
    """Which writers wait for each other: those of one kind in PostgreSQL, all in an SQLite file."""

    EVENTS = 1  # a reader of a number of the journal has then read all lower ones
    DECISIONS = 2  # concurrent requests for a customer then get the same decision
    TABLES = 3
    AUDIT = 4  # an entry of the audit log has the digest of the one before it
    ANY = 0  # waits for no other writer


class Connections:
    """A process's connection pool of one home to its database, and the revision of the database's tables."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.file: Path | None = None if home.database is not None else home.database_file
        if self.file is not None:
            self.engine, self.name = sqlite_file.engine(self.file), str(self.file)
        else:
            self.engine, self.name = _server(home.database_address)
        self._quick: deque[sqlite3.Connection] = deque()  # bypasses SQLAlchemy's pool, which is slower
        self._seen = self._identity()
        self._revision: str | None = None
        self._is_claimed = False  # the database has the home's id
        weakref.finalize(self, _close, self.engine, self._quick)

    def open(self, *, write: bool) -> None:
        """Check once that the tables exist, are of this version of Patron, and belong to the home."""
        self._close_if_replaced()
        if self._revision == migrations.HEAD and (self._is_claimed or not write):
            return
        if write:
            self.claim()
            return
        revision = self._stored_revision()
        if revision is None:
            raise NothingThere(f"the database {self.name} is empty; import or simulate a shop first")
        if revision != migrations.HEAD:
            raise PatronError(
                f"the database {self.name} is of an older Patron (its tables are at {revision});"
                " `patron doctor` brings it up to date"
            )
        with self.reading() as connection:
            self._is_claimed = ownership.check(connection, self._home, self.name)
        self._revision = migrations.HEAD

    def claim(self, *, attach: bool = False) -> None:
        """Migrate the tables and store the home's id, in one transaction; see :func:`ownership.claim`."""
        if self.file:
            sqlite_file.create(self.file)
        self._stored_revision()  # before tables are locked
        with self.writing(Turn.TABLES, durable=True) as (connection, _):
            if migrations.revision(connection) != migrations.HEAD:
                migrations.upgrade(connection)
            ownership.claim(connection, self._home, self.name, attach=attach)
        home_id.confirm(self._home)
        self._is_claimed, self._revision = True, migrations.HEAD

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A read-only connection with a consistent snapshot of the database."""
        level = {} if self.file else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**level) as connection:
            yield connection

    def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """The rows of a SELECT, without SQLAlchemy."""
        if self.file:
            try:
                connection = self._quick.pop()
            except IndexError:
                connection = sqlite_file.connect(self.file, sqlite_file.QUICK_BUSY_SECONDS)
            try:
                rows = connection.execute(statement, values).fetchall()
            except BaseException:
                connection.close()
                raise
            self._quick.append(connection)
            return rows
        statement = statement.replace("?", "%s")
        driver = cast(Any, self.engine.dialect.dbapi)
        try:
            pooled = self.engine.raw_connection()
            try:
                return list(cast(Any, pooled.driver_connection).execute(statement, values).fetchall())
            except driver.Error:
                pooled.invalidate()
                raise
            finally:
                pooled.close()
        except driver.OperationalError as error:
            raise sa.exc.OperationalError(statement, None, error) from error
        except driver.Error as error:
            raise sa.exc.DBAPIError(statement, None, error) from error

    @contextmanager
    def writing(
        self, turn: Turn, durable: bool, lookups: Sequence[Lookup] = ()
    ) -> Iterator[tuple[sa.Connection, list[Rows]]]:
        """A transaction, serialised with other writers of the same turn, and the rows of lookups in it."""
        # The driver would wait for the response to BEGIN; it is sent with the first statements instead.
        options = {sqlite_file.WRITING: durable} if self.file else {"isolation_level": "AUTOCOMMIT"}
        turns = sqlite_file.exclusive(self.file) if self.file else nullcontext()
        with turns, self.engine.connect().execution_options(**options) as connection, connection.begin():
            if self.file:
                yield connection, batches.fetch(connection, lookups)
                return
            from core.storage import postgres  # the engine has imported it

            first = postgres.begin(turn, durable)
            statements = [batches.as_statement(lookup) for lookup in lookups]
            rows = postgres.execute(connection, [*first, *statements])
            yield connection, rows[len(first) :]

    def write_at_once(self, statement: Statement, turn: Turn) -> Rows:
        """The rows of a statement of PostgreSQL in a durable transaction of its own, in one round trip."""
        from core.storage import postgres  # the engine has imported it

        options = {"isolation_level": "AUTOCOMMIT"}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            first = postgres.begin(turn, True)
            return postgres.execute(connection, [*first, statement, Statement("COMMIT")])[len(first)]

    @contextmanager
    def replacing(self) -> Iterator[sa.Connection]:
        """A transaction that replaces all tables, whichever home they belong to."""
        with self.writing(Turn.TABLES, durable=True) as (connection, _):
            yield connection
        self._revision, self._is_claimed = None, False

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        _close(self.engine, self._quick)

    def _stored_revision(self) -> str | None:
        if self.file and not self.file.exists():
            return None
        with self.reading() as connection:
            revision = migrations.revision(connection)
        if revision is not None and revision > migrations.HEAD:
            raise PatronError(
                f"the database {self.name} is of a newer Patron (its tables are at {revision}, this one knows"
                f" {migrations.HEAD}); use that version, or another home"
            )
        return revision

    def _close_if_replaced(self) -> None:
        """Close the connections if the database file was replaced."""
        if (now := self._identity()) != self._seen:
            self.close()
            self._seen, self._revision, self._is_claimed = now, None, False

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


_shared: weakref.WeakValueDictionary[tuple[Path, str], Connections] = weakref.WeakValueDictionary()
_sharing = threading.Lock()


def connections_of(home: Home) -> Connections:
    """The connections of a home to its database, shared by all users in this process."""
    _close_before_fork()
    key = home.path, home.database_address
    with _sharing:
        connections = _shared.get(key)
        if connections is None:
            connections = _shared[key] = Connections(home)
    return connections


@cache
def _close_before_fork() -> None:
    """SQLite's locks and a server's connections must not be shared with a forked child."""

    def close_all() -> None:
        for connections in list(_shared.values()):
            connections.close()

    os.register_at_fork(before=close_all)


def _server(address: str) -> tuple[sa.Engine, str]:
    """The engine of a PostgreSQL database, and its name without credentials."""
    try:
        url = sa.make_url(address)
        if url.get_dialect() is not postgresql.psycopg.dialect or not url.database:
            raise ValueError(url.drivername)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ValueError) as error:
        raise PatronError(
            "PATRON_DATABASE is not the address of a database that Patron knows; use"
            " postgresql://user:password@host:port/name, or leave it unset for a file in the home"
        ) from error
    from core.storage import postgres  # its client takes a tenth of a second to import

    server = ":".join(str(part) for part in (url.host or "localhost", url.port) if part)
    name = f"postgresql://{server}/{url.database}"
    return postgres.create_engine(url, name), name
