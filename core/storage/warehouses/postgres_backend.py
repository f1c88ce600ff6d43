"""Ibis' backend for PostgreSQL as a warehouse: rows travel as CSV that Arrow reads, with Ibis' types.

Texts compare by their bytes (``COLLATE "C"``), as DuckDB's do, whatever the language of the database is. All
that it creates is temporary and ends with the session.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ibis
import ibis.expr.types as ir
import psycopg
import pyarrow as pa
from ibis.backends.postgres import Backend
from pyarrow import csv

from core.errors import PatronError, StoreUnavailable
from core.storage import sql
from core.storage.warehouses.postgres_compiler import COMPILER, TRY_FUNCTIONS
from core.storage.warehouses.session import WarehouseSession

_BY_BYTES = ' COLLATE "C"'
BATCH_BYTES = 8 << 20  # of CSV
_SETTINGS = "SET TIME ZONE 'UTC'; SET DATESTYLE = 'ISO, YMD'; SET jit = off"
_MEMORY = {"work_mem": "64MB", "temp_buffers": "256MB"}
"""What a session has at least: with PostgreSQL's 4 and 8 MB, all sorts and tables of a build are on disk."""


class PostgresBackend(WarehouseSession, Backend):  # type: ignore[misc]
    """Runs Ibis expressions on PostgreSQL, in one session."""

    compiler = COMPILER

    def _post_connect(self) -> None:
        self.begin()
        self.run(_SETTINGS, *(_at_least(name, size) for name, size in _MEMORY.items()), *TRY_FUNCTIONS)

    def limit_queries(self, seconds: int) -> None:
        """Give each query from now on at most so many seconds."""
        self.run(f"SET statement_timeout = '{seconds}s'")

    def types_of(self, query: str) -> dict[str, str]:
        """The columns of a query and PostgreSQL's names of their types, such as ``timestamptz``.

        Raises:
            PatronError: the query is not accepted.
        """
        with _failures(self.label), self.con.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) AS source LIMIT 0".encode())
            types = {column.name: column.type_display for column in cursor.description or ()}
        return {name: display.partition("(")[0] for name, display in types.items()}

    def load(self, name: str, schema: ibis.Schema, batches: Iterable[pa.RecordBatch]) -> ir.Table:
        """Batches of rows as a temporary table."""
        columns = ", ".join(
            f"{sql.name(column)} {self._type_of(dtype)}{_BY_BYTES if dtype.is_string() else ''}"
            for column, dtype in schema.items()
        )
        self.run(f"CREATE TEMP TABLE {sql.name(name)} ({columns})")
        without_names, types = csv.WriteOptions(include_header=False), schema.to_pyarrow()
        target = f"COPY pg_temp.{sql.name(name)} FROM STDIN (FORMAT csv)".encode()
        with _failures(self.label), self.con.cursor() as cursor, cursor.copy(target) as copy:
            for batch in batches:
                content = io.BytesIO()
                csv.write_csv(pa.Table.from_batches([batch]).cast(types), content, without_names)
                copy.write(content.getvalue())
        self.run(f"ANALYZE pg_temp.{sql.name(name)}")
        return self._table(name, schema)

    def _execute(self, statement: str) -> None:
        with _failures(self.label):
            self.con.execute(statement.encode())

    def _drop(self, name: str) -> str:
        return f"DROP TABLE IF EXISTS pg_temp.{sql.name(name)}"

    def _copy(self, name: str, query: str) -> Sequence[str]:
        return f"CREATE TEMP TABLE {sql.name(name)} AS {query}", f"ANALYZE pg_temp.{sql.name(name)}"

    def _batches(self, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        read = csv.ReadOptions(column_names=schema.names, block_size=BATCH_BYTES)
        convert = csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False,
            true_values=["t"], false_values=["f"],
        )  # fmt: skip
        source = f"COPY ({query}) TO STDOUT (FORMAT csv)".encode()
        with _failures(self.label), self.con.cursor() as cursor, cursor.copy(source) as copy:
            content = _CopyFile(copy)
            if content.is_empty:
                return
            # An empty line is a null of a single column.
            parse = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
            yield from csv.open_csv(pa.PythonFile(content, mode="r"), read, parse, convert)

    def _cast(self, column: str, dtype: Any) -> str:
        return f"CAST({column} AS {self._type_of(dtype)}){_BY_BYTES if dtype.is_string() else ''}"

    def _type_of(self, dtype: Any) -> str:
        if dtype.is_struct():
            return "jsonb"
        return "text" if dtype.is_string() else str(self.compiler.type_mapper.to_string(dtype))


def _at_least(name: str, size: str) -> str:
    """The statement that gives a setting of the session this size, unless it is larger."""
    smaller = f"pg_size_bytes(current_setting('{name}')) < pg_size_bytes('{size}')"
    return f"SELECT set_config('{name}', '{size}', false) WHERE {smaller}"


@contextmanager
def _failures(label: str) -> Iterator[None]:
    """Raise what the server refuses as errors for people; its messages may quote customers' data."""
    try:
        yield
    except psycopg.Error as error:
        code = error.sqlstate or ""
        if code.startswith("42"):  # a name, a type or a permission: its message quotes SQL only
            why = str(error).partition("\n")[0]
            raise PatronError(f"the warehouse {label} refuses a query: {why}") from error
        if isinstance(error, psycopg.OperationalError) and not code.startswith("53"):
            raise StoreUnavailable(
                f"the warehouse {label} ended the connection; run the command again when it answers"
            ) from error
        raise PatronError(
            f"the warehouse {label} failed at a query ({type(error).__name__}, {code}); its log says which"
        ) from error


class _CopyFile(io.RawIOBase):
    """What a server copies, as a file."""

    def __init__(self, copy: psycopg.Copy) -> None:
        self._blocks = iter(copy)
        self._rest: memoryview[Any] = memoryview(bytes(next(self._blocks, b"")))
        self.is_empty = not self._rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as many as there are up to the size."""
        parts, missing = [], size
        while missing and len(self._rest):
            part = self._rest[:missing]
            parts.append(bytes(part))
            self._rest, missing = self._rest[len(part) :], missing - len(part)
            if not len(self._rest):
                self._rest = memoryview(bytes(next(self._blocks, b"")))
        return b"".join(parts)
