"""Cells in an SQLite file: a row per customer, a column per feature view.

The file is in WAL mode, so readers and a writer do not wait for each other. Readers take a connection
from a pool, a writer opens its own; after each write the log is checkpointed into the file.
"""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

from core.errors import NothingThere, PatronError
from core.storage import sql
from features.online.cells import Cells, Owner, check_owner, nobody
from features.online.packed import FORMAT, WORD, CellLayout

BUSY_SECONDS = 30.0  # that a writer waits for another
CHECKPOINT_MS = 200  # that a checkpoint waits for readers; otherwise the next write does it
_APPLICATION = 0x5061  # marks a file of this kind, with the format, in SQLite's header
_VERSION = _APPLICATION << 8 | FORMAT
_TABLES = (
    "CREATE TABLE IF NOT EXISTS layouts (view TEXT PRIMARY KEY, layout BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS customers (customer_key INTEGER PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS home (id TEXT NOT NULL, restored TEXT NOT NULL)",
)


class SqliteCells:
    """A :class:`features.online.cells.CellStore` in a file."""

    def __init__(self, path: Path, patience_s: float = BUSY_SECONDS, *, owner: Owner = nobody) -> None:
        self.path, self._patience_s, self._owner = path, patience_s, owner
        self.name = f"the online store {path}"
        self._idle: deque[sqlite3.Connection] = deque()
        self._file: tuple[int, int] | None = None
        weakref.finalize(self, _close, self._idle)

    @property
    def version(self) -> str:
        """The storage engine and its version."""
        return f"SQLite {sqlite3.sqlite_version}"

    def prepare(self, layouts: Sequence[CellLayout]) -> None:
        """Prepare the views; cells written by other definitions are cleared."""
        with self._writing(create=True) as connection:
            own, is_current = self._owner(), _version(connection) == _VERSION
            try:
                if is_current:
                    check_owner(self.name, own, *_owner_in(connection))
            except NothingThere:  # filled before the home was restored
                is_current = False
            if not is_current:
                _drop_all(connection)  # also a file of another kind or format
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            for table in _TABLES:
                connection.execute(table)
            if own is not None:
                connection.execute("DELETE FROM home")
                connection.execute("INSERT INTO home VALUES (?, ?)", (own.id, own.restored))
            layouts_before = dict(connection.execute("SELECT view, layout FROM layouts").fetchall())
            for layout in layouts:
                column = sql.name(layout.view)
                if layout.view not in layouts_before:
                    connection.execute(f"ALTER TABLE customers ADD COLUMN {column} BLOB")
                elif layouts_before[layout.view] != layout.digest:
                    connection.execute(f"UPDATE customers SET {column} = NULL")
                row = (layout.view, layout.digest)
                connection.execute("INSERT OR REPLACE INTO layouts VALUES (?, ?)", row)

    def drop(self, views: Sequence[str]) -> None:
        """Remove views and all their cells."""
        with self._writing() as connection:
            for (view,) in connection.execute("SELECT view FROM layouts").fetchall():
                if view in views:
                    connection.execute(f"ALTER TABLE customers DROP COLUMN {sql.name(view)}")
                    connection.execute("DELETE FROM layouts WHERE view = ?", (view,))

    def write(self, keys: Sequence[int], cells: Mapping[str, Sequence[bytes]], now_us: int) -> None:
        """Write cells of one or more views into the rows of customers; newer cells are preserved."""
        columns = [sql.name(view) for view in cells]
        places = ", ".join("?" * (1 + len(columns)))
        updates = ", ".join(f"{column} = {_newest(column, now_us)}" for column in columns)
        statement = (
            f"INSERT INTO customers (customer_key, {', '.join(columns)}) VALUES ({places})"
            f" ON CONFLICT (customer_key) DO UPDATE SET {updates}"
        )
        with self._writing() as connection:
            connection.executemany(statement, zip(keys, *cells.values(), strict=True))

    def read(self, keys: Sequence[int], views: Sequence[str]) -> list[Cells]:
        """The cells of customers per view, in one query."""
        # With the table's name, since SQLite would take the name of a missing column for a text.
        values: list[Any]
        columns = "".join(f", customers.{sql.name(view)}" for view in views)
        where, values = "IN (SELECT value FROM json_each(?))", [json.dumps(keys)]
        if len(keys) == 1:  # the most common case
            where, values = "= ?", [*keys]
        elif keys and keys == list(range(keys[0], keys[0] + len(keys))):
            where, values = "BETWEEN ? AND ?", [keys[0], keys[-1]]  # faster than a lookup per key
        query = f"SELECT customer_key{columns} FROM customers WHERE customer_key {where}"
        with self._reading() as connection:
            rows = connection.execute(query, values).fetchall()
        if list(map(itemgetter(0), rows)) != keys:
            by_key = {row[0]: row for row in rows}
            nothing = (None,) * (1 + len(views))
            rows = [by_key.get(key, nothing) for key in keys]
        return [list(map(itemgetter(i), rows)) for i in range(1, 1 + len(views))]

    def keys(self) -> list[int]:
        """All customers with a row."""
        with self._reading() as connection:
            return [key for (key,) in connection.execute("SELECT customer_key FROM customers")]

    def delete(self, keys: Sequence[int]) -> None:
        """Delete the rows of customers, so that the file contains nothing of them."""
        with self._writing() as connection:
            connection.executemany("DELETE FROM customers WHERE customer_key = ?", [(key,) for key in keys])

    def owner(self) -> str | None:
        """The id of the home to which the store belongs, see :class:`features.online.cells.CellStore`."""
        if not self.path.exists():
            return None
        with self._readable_errors(), closing(self._connect(self._patience_s)) as connection:
            return _owner_in(connection)[0]

    def clear(self) -> None:
        """Erase everything."""
        if self.path.exists():
            with suppress(NothingThere):  # filled before a restore
                check_owner(self.name, self._owner(), self.owner())
        _close(self._idle)
        for name in (self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm"):
            self.path.with_name(name).unlink(missing_ok=True)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._readable_errors():
            self._look()
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect(self._patience_s)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)

    @contextmanager
    def _writing(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        with self._readable_errors():
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            else:
                self._look()
            connection = self._connect(BUSY_SECONDS, "rwc" if create else "rw")
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA secure_delete = ON")  # overwrites deleted and replaced data
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
                connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_MS}")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    def _connect(self, busy_seconds: float, mode: str = "rw") -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, timeout=busy_seconds,
            isolation_level=None, check_same_thread=False,
        )  # fmt: skip

    def _look(self) -> None:
        """If the file is another one than before, close the connections and check whose it is."""
        stat = self.path.stat()
        if self._file != (stat.st_dev, stat.st_ino):
            _close(self._idle)
            with closing(self._connect(self._patience_s)) as connection:
                if _version(connection) == _VERSION:
                    check_owner(self.name, self._owner(), *_owner_in(connection))
            self._file = stat.st_dev, stat.st_ino

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        """Translate SQLite's errors into readable ones."""
        try:
            yield
        except FileNotFoundError as error:
            raise NothingThere(f"{self.name} is missing; run `patron build`") from error
        except (sqlite3.Error, OSError) as error:
            raise PatronError(
                f"{self.name} cannot be read ({type(error).__name__}: {error}); run `patron build`"
            ) from error


def _close(connections: deque[sqlite3.Connection]) -> None:
    with suppress(IndexError):
        while True:
            connections.pop().close()


def _newest(column: str, now_us: int) -> str:
    """SQL for the cell to store: as_of is big-endian at the second word, so bytes compare as moments."""

    def moment(cell: str) -> str:
        return f"substr({cell}, {1 + WORD}, {WORD})"

    new, old = f"excluded.{column}", f"customers.{column}"
    same = f"substr({old}, 1, {WORD}) = substr({new}, 1, {WORD})"
    present = f"x'{now_us.to_bytes(WORD, 'big').hex()}'"
    return (
        f"CASE WHEN {same} AND {moment(old)} > {moment(new)} AND {moment(old)} <= {present}"
        f" THEN {old} ELSE {new} END"
    )


def _version(connection: sqlite3.Connection) -> int:
    """The kind and the format of a file, as its header says."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _owner_in(connection: sqlite3.Connection) -> tuple[str | None, str]:
    """The id of the home in a file, and the token of its restore."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'home'").fetchone():
        return None, ""  # of an earlier release
    row: tuple[str, str] | None = connection.execute("SELECT id, restored FROM home").fetchone()
    return row or (None, "")


def _drop_all(connection: sqlite3.Connection) -> None:
    tables: list[tuple[Any]] = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    for (table,) in tables:
        connection.execute(f"DROP TABLE {sql.name(table)}")
