"""A home's database: a file of its own, or PostgreSQL where ``PATRON_DATABASE`` names one.

Tables are declared beside what uses them, on ``METADATA``.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from features.errors import PatronError
from features.home import Home

METADATA = sa.MetaData()
_BEGIN = "patron_begin"
# One writer at a time may append, so that whoever sees a number has seen all below it.
_APPENDING = 0x5041_5452


class Database:
    """Connections to a home's database; threads may share it.

    Attributes:
        name: what and where it is, for messages; without credentials.
    """

    def __init__(self, home: Home) -> None:
        if home.database is None:
            home.path.mkdir(parents=True, exist_ok=True)
        self._engine = _engine(home.database_address)
        self.name = self._engine.url.render_as_string(hide_password=True).removeprefix("sqlite:///")
        weakref.finalize(self, self._engine.dispose)
        with self.writing() as connection:
            METADATA.create_all(connection)

    @property
    def on_postgres(self) -> bool:
        """Whether it is PostgreSQL; it is an SQLite file otherwise."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one moment of the database.

        Raises:
            PatronError: the database cannot be used.
        """
        level = {"isolation_level": "REPEATABLE READ"} if self.on_postgres else {}
        with self._speaking(), self._engine.connect().execution_options(**level) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction, durable once left; all of it or nothing. Writers come one after the other.

        Raises:
            PatronError: the database cannot be used; nothing was written.
        """
        with (
            self._speaking(),
            self._engine.connect().execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}) as connection,
            connection.begin(),
        ):
            if self.on_postgres:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_APPENDING)))
            yield connection

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            why = str(getattr(error, "orig", error)).strip().partition("\n")[0]
            raise PatronError(f"the database {self.name} cannot be used: {why}") from error


def _engine(address: str) -> sa.Engine:
    try:
        engine = sa.create_engine(address, pool_pre_ping=address.startswith("postgresql"))
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ValueError) as error:
        raise PatronError(
            "PATRON_DATABASE is not an address of a database that Patron knows; use"
            " postgresql://user:password@host:port/name, or leave it unset for a file in the home"
        ) from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say so, not where sqlite3 guesses
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 10000"):
        connection.cursor().execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))
