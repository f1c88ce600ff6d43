"""A copy of a whole database, made while others write, and loaded in place of another.

A copy of an SQLite file is an SQLite file. A copy of PostgreSQL is a file per table, as ``COPY`` writes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

from core.errors import PatronError
from core.home import Home
from core.storage import migrations, sql
from core.storage.database import Database

SQLITE, POSTGRESQL = "sqlite", "postgresql"
FILE = "patron.db"
"""The name of the copy of an SQLite database."""
SPARE_KEYS = 1_000_000
"""Keys of customers that a restored database leaves out. Customers who arrived after the backup had them, and
models that were trained since may name them."""
_VERSION = "alembic_version"
_BLOCK = 1 << 20
_LOCK_TIMEOUT = "30s"  # that a load waits for other sessions of the server


@dataclass(frozen=True)
class DatabaseCopy:
    """What a copy contains.

    Attributes:
        kind: ``sqlite`` or ``postgresql``. revision: the step of the tables.
        tables: the number of rows by table. columns: the names of the columns by table.
        next_numbers: the next number of each table that numbers its rows.
    """

    kind: str
    revision: str
    tables: dict[str, int]
    columns: dict[str, list[str]]
    next_numbers: dict[str, int]


class Snapshot:
    """The content of a database at one moment, from which a copy can be written later."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.is_file = connection.dialect.name == SQLITE
        self._revision = migrations.revision(connection) or ""  # the first query begins the snapshot

    @cached_property
    def copy(self) -> DatabaseCopy:
        """What a copy of it contains."""
        inspector = sa.inspect(self._connection)
        tables = sorted(set(inspector.get_table_names()) - {_VERSION})
        counts = {
            table: self._connection.execute(sa.text(f"SELECT count(*) FROM {sql.name(table)}")).scalar_one()
            for table in tables
        }
        columns = {table: [str(c["name"]) for c in inspector.get_columns(table)] for table in tables}
        kind = SQLITE if self.is_file else POSTGRESQL
        return DatabaseCopy(kind, self._revision, counts, columns, _next_numbers(self._connection))

    def write(self, folder: Path) -> None:
        """Write the copy into a folder.

        Raises:
            PatronError: the source is damaged.
        """
        driver = cast(Any, self._connection.connection.driver_connection)
        if self.is_file:
            with closing(sqlite3.connect(folder / FILE)) as target:
                driver.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # the copy is one file
                if (result := target.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                    raise PatronError(f"the database is damaged: {result}; restore an earlier backup")
            return
        with _driver_errors(self._connection), driver.cursor() as cursor:
            for table, columns in self.copy.columns.items():
                statement = f"COPY (SELECT {_list(columns)} FROM {sql.name(table)}) TO STDOUT"
                with open(folder / f"{table}.copy", "wb") as file, cursor.copy(statement) as blocks:
                    for block in blocks:
                        file.write(block)


@contextmanager
def snapshot(home: Home) -> Iterator[Snapshot]:
    """The content of a home's database now; others read and write meanwhile.

    Raises:
        PatronError: the database cannot be used.
    """
    database = Database(home)
    database.prepare()
    with database.reading() as connection:
        yield Snapshot(connection)


def reserve_keys(path: Path) -> None:
    """Leave keys out in the copy of an SQLite file, see ``SPARE_KEYS``."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(_SPARE)


def load(connection: sa.Connection, copy: DatabaseCopy, folder: Path) -> None:
    """Replace the tables of a PostgreSQL database by those of a copy, within the open transaction.

    Raises:
        PatronError: the copy does not have the rows that it should have.
    """
    connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
    for table in sa.inspect(connection).get_table_names():
        connection.execute(sa.text(f"DROP TABLE {sql.name(table)} CASCADE"))
    migrations.upgrade(connection, copy.revision)
    for table, columns in copy.columns.items():
        connection.execute(sa.text(f"DELETE FROM {sql.name(table)}"))  # rows that a step inserted
        _copy_in(connection, copy, folder, table, columns)
        loaded = connection.execute(sa.text(f"SELECT count(*) FROM {sql.name(table)}")).scalar_one()
        if loaded != copy.tables[table]:
            raise PatronError(f"the backup has {loaded:,} rows of {table} instead of {copy.tables[table]:,}")
    connection.execute(sa.text(_SPARE))
    _number_on(connection, copy.next_numbers)
    migrations.upgrade(connection)


def _copy_in(
    connection: sa.Connection, copy: DatabaseCopy, folder: Path, table: str, columns: list[str]
) -> None:
    """Load the rows of a table."""
    statement = f"COPY {sql.name(table)} ({_list(columns)}) FROM STDIN"
    driver = cast(Any, connection.connection.driver_connection)
    with _driver_errors(connection), driver.cursor() as cursor, cursor.copy(statement) as target:
        if copy.kind == SQLITE:
            for row in _rows(folder / FILE, table, columns):
                target.write_row(row)
            return
        with open(folder / f"{table}.copy", "rb") as file:
            while block := file.read(_BLOCK):
                target.write(block)


@contextmanager
def _driver_errors(connection: sa.Connection) -> Iterator[None]:
    """Translate errors of the driver as SQLAlchemy does it."""
    driver = cast(Any, connection.dialect.dbapi)
    try:
        yield
    except driver.Error as error:
        raise sa.exc.DBAPIError("COPY", None, error) from error


_SPARE = (
    "INSERT INTO customers (customer_key, customer_id)"
    f" SELECT max(customer_key) + {SPARE_KEYS}, '' FROM customers HAVING max(customer_key) IS NOT NULL"
)


def _rows(path: Path, table: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        yield from connection.execute(f"SELECT {_list(columns)} FROM {sql.name(table)}")


def _list(columns: list[str]) -> str:
    return ", ".join(map(sql.name, columns))


def _sequences(connection: sa.Connection) -> dict[str, tuple[str, str]]:
    """Per table that numbers its rows the column and the sequence."""
    rows = connection.execute(
        sa.text(
            "SELECT table_name, column_name,"
            " pg_get_serial_sequence(quote_ident(table_name), column_name) AS sequence"
            " FROM information_schema.columns WHERE table_schema = current_schema()"
        )
    )
    return {row.table_name: (row.column_name, row.sequence) for row in rows if row.sequence}


def _next_numbers(connection: sa.Connection) -> dict[str, int]:
    if connection.dialect.name == SQLITE:
        rows = connection.execute(sa.text("SELECT name, seq + 1 FROM sqlite_sequence"))
        return {row[0]: row[1] for row in rows}
    return {
        table: connection.execute(sa.text(f"SELECT last_value + 1 FROM {sequence}")).scalar_one()
        for table, (_, sequence) in _sequences(connection).items()
    }


def _number_on(connection: sa.Connection, next_numbers: Mapping[str, int]) -> None:
    """Make the numbers of new rows greater than all that the copied database gave out."""
    for table, (column, sequence) in _sequences(connection).items():
        greatest = f"(SELECT coalesce(max({sql.name(column)}), 0) + 1 FROM {sql.name(table)})"
        statement = f"SELECT setval(:sequence, greatest(:next, {greatest}), false)"
        connection.execute(sa.text(statement), {"sequence": sequence, "next": next_numbers.get(table, 1)})
