"""Ibis' backend for PostgreSQL as a warehouse: rows travel as CSV that Arrow reads, with Ibis' types.

Texts compare by their bytes (``COLLATE "C"``), as DuckDB's do, whatever the language of the database is. All
that it creates is temporary and ends with the session.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import psycopg
import pyarrow as pa
import pyarrow.dataset as ds
from ibis.backends.postgres import Backend
from pyarrow import csv

from core.errors import PatronError, StoreUnavailable
from core.storage import sql
from core.storage.postgres_compiler import COMPILER, TRY_FUNCTIONS

_BY_BYTES = ' COLLATE "C"'
BATCH_BYTES = 8 << 20  # of CSV
_SETTINGS = "SET TIME ZONE 'UTC'; SET DATESTYLE = 'ISO, YMD'; SET jit = off"


class PostgresBackend(Backend):  # type: ignore[misc]
    """Runs Ibis expressions on PostgreSQL, in one session.

    Attributes:
        label: the server and the database, for messages.
    """

    compiler = COMPILER
    label = ""

    def _post_connect(self) -> None:
        self._unused: list[str] = []  # temporary tables that no expression refers to any more
        self._defined: dict[str, ir.Table | None] = {}
        self.run(_SETTINGS, *TRY_FUNCTIONS)

    def run(self, *statements: str) -> None:
        """Execute statements without a result.

        Raises:
            PatronError: one of them failed, or the connection ended.
        """
        # Not when Python frees them, since another statement may be in progress then.
        unused = [f"DROP TABLE IF EXISTS pg_temp.{sql.name(self._unused.pop())}" for _ in [*self._unused]]
        with _failures(self.label):
            for statement in (*unused, *statements):
                self.con.execute(statement.encode())

    def types_of(self, query: str) -> dict[str, str]:
        """The columns of a query and PostgreSQL's names of their types, such as ``timestamptz``.

        Raises:
            PatronError: the query is not accepted.
        """
        with _failures(self.label), self.con.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) AS source LIMIT 0".encode())
            return {column.name: column.type_display for column in cursor.description or ()}

    def source(self, query: str, schema: ibis.Schema) -> ir.Table:
        """The rows of a query, with the types of a schema; columns that it does not name are not read."""
        typed = f"SELECT {self._casts(schema)} FROM ({query}\n) AS source"
        rows: ir.Table = ops.SQLQueryResult(typed, schema, self).to_expr()
        return rows

    def define(self, name: str, rows: ir.Table) -> ir.Table:
        """A table that is copied into the session when a query first reads it.

        So all queries of the session read the same rows, and nothing of the warehouse depends on it.
        """
        self._defined.setdefault(name, rows)
        return self._table(name, rows.schema())

    def to_pyarrow_batches(self, expr: ir.Expr, /, **_: Any) -> pa.RecordBatchReader:
        """The result of an expression in batches, which must be read before the next statement.

        Raises:
            PatronError: the query failed, or the connection ended; also while batches are read.
        """
        table = expr.as_table()
        self._run_pre_execute_hooks(table)
        self.run()
        schema = table.schema().to_pyarrow()
        return pa.RecordBatchReader.from_batches(schema, self._batches(self._typed(table), schema))

    def to_pyarrow(self, expr: ir.Expr, /, **_: Any) -> Any:
        """The result of an expression, with the types that Ibis declares."""
        return expr.__pyarrow_result__(self.to_pyarrow_batches(expr).read_all())

    def execute(self, expr: ir.Expr, /, **_: Any) -> Any:
        """The result of an expression as pandas has it."""
        return expr.__pandas_result__(self.to_pyarrow_batches(expr).read_all().to_pandas())

    def read_parquet(self, paths: Sequence[Path | str], /) -> ir.Table:
        """Parquet files as a temporary table."""
        files = ds.dataset([str(path) for path in paths])
        schema = ibis.schema(files.schema.remove_metadata())
        return self.load(ibis.util.gen_name("parquet"), schema, files.to_batches())

    def create_table(self, name: str, obj: pa.Table, /, *, temp: bool) -> ir.Table:  # noqa: ARG002
        """Rows as a table, which is temporary."""
        return self.load(name, ibis.schema(obj.schema), obj.to_batches())

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

    def _table(self, name: str, schema: ibis.Schema) -> ir.Table:
        table: ir.Table = ops.DatabaseTable(name, schema, self).to_expr()
        return table

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

    def _typed(self, table: ir.Table) -> str:
        """The query of a table, with the types that Ibis declares; a sum of integers would be a numeric."""
        return f"SELECT {self._casts(table.schema())} FROM ({self.compile(table)}) AS result"

    def _casts(self, schema: ibis.Schema) -> str:
        columns = {name: f"CAST({sql.name(name)} AS {self._type_of(t)})" for name, t in schema.items()}
        texts = {name for name, dtype in schema.items() if dtype.is_string()}
        return ", ".join(
            f"{value}{_BY_BYTES if name in texts else ''} AS {sql.name(name)}"
            for name, value in columns.items()
        )

    def _type_of(self, dtype: Any) -> str:
        if dtype.is_struct():
            return "jsonb"
        return "text" if dtype.is_string() else str(self.compiler.type_mapper.to_string(dtype))

    def _run_pre_execute_hooks(self, expr: ir.Expr) -> None:
        for table in expr.op().find(ops.DatabaseTable):
            if (rows := self._defined.get(table.name)) is not None:
                self._defined[table.name] = None  # it is there from now on
                self._create_cached_table(table.name, rows)
        super()._run_pre_execute_hooks(expr)

    def _create_cached_table(self, name: str, expr: ir.Table) -> ir.Table:
        self._run_pre_execute_hooks(expr)
        self.run(
            f"CREATE TEMP TABLE {sql.name(name)} AS {self._typed(expr)}", f"ANALYZE pg_temp.{sql.name(name)}"
        )
        return self._table(name, expr.schema())

    def _drop_cached_table(self, name: str) -> None:
        self._unused.append(name)

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        self.load(op.name, op.schema, op.data.to_pyarrow(op.schema).to_batches())

    def _make_memtable_finalizer(self, name: str) -> Any:
        return lambda: self._unused.append(name)


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
