"""What the backends of warehouses have in common: tables of a session, and results with Ibis' types.

All that a session creates is temporary and ends with it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from ibis.backends.sql import SQLBackend

from core.storage import sql
from core.storage.warehouses import medians


class WarehouseSession(SQLBackend):  # type: ignore[misc]
    """Runs Ibis expressions in one session of a warehouse; the base before that of Ibis' backend.

    Attributes:
        label: the server and the database, for messages.
        approximate: whether the shop permits approximate medians, see :mod:`core.storage.warehouses.medians`.
    """

    label = ""
    approximate = False

    def begin(self) -> None:
        """Prepare the session for its first statement."""
        self._unused: list[str] = []  # temporary tables that no expression refers to any more
        self._defined: dict[str, ir.Table | None] = {}

    def run(self, *statements: str) -> None:
        """Execute statements without a result.

        Raises:
            PatronError: one of them failed, or the connection ended.
        """
        # Not when Python frees them, since another statement may be in progress then.
        unused = [self._drop(self._unused.pop()) for _ in [*self._unused]]
        for statement in (*unused, *statements):
            self._execute(statement)

    @abstractmethod
    def limit_queries(self, seconds: int) -> None:
        """Give each query from now on at most so many seconds; one of a build may take an hour."""

    @abstractmethod
    def types_of(self, query: str) -> dict[str, str]:
        """The columns of a query and the warehouse's names of their types, without what may be null.

        Raises:
            PatronError: the query is not accepted.
        """

    @abstractmethod
    def load(self, name: str, schema: ibis.Schema, batches: Iterable[pa.RecordBatch]) -> ir.Table:
        """Batches of rows as a temporary table."""

    @abstractmethod
    def _execute(self, statement: str) -> None:
        """Execute a statement without a result."""

    @abstractmethod
    def _drop(self, name: str) -> str:
        """The statement that drops a temporary table, if it is there."""

    @abstractmethod
    def _copy(self, name: str, query: str) -> Sequence[str]:
        """The statements that make a temporary table of a query."""

    @abstractmethod
    def _batches(self, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query."""

    @abstractmethod
    def _cast(self, column: str, dtype: Any) -> str:
        """A column, which is quoted, with an Ibis type."""

    def _write_parquet(
        self, file: Path | BinaryIO, schema: ibis.Schema, batches: Iterable[pa.RecordBatch]
    ) -> None:
        """Write batches as Parquet with the types of a schema, for a warehouse that reads such files."""
        types = schema.to_pyarrow()
        with pq.ParquetWriter(file, types) as writer:
            for batch in batches:
                writer.write_table(pa.Table.from_batches([batch]).cast(types))

    def source(self, query: str, schema: ibis.Schema) -> ir.Table:
        """The rows of a query, with the types of a schema; columns that it does not name are not read."""
        typed = f"SELECT {self._casts(schema, self._written_names(query))} FROM ({query}\n) AS source"
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

    def _table(self, name: str, schema: ibis.Schema) -> ir.Table:
        table: ir.Table = ops.DatabaseTable(name, schema, self).to_expr()
        return table

    def _typed(self, table: ir.Table) -> str:
        """The query of a table, with the types that Ibis declares; a sum of integers has another."""
        query = self.compile(medians.suited(table, self.name, self.approximate))
        return f"SELECT {self._casts(table.schema())} FROM ({query}) AS result"

    def _casts(self, schema: ibis.Schema, written: Mapping[str, str] | None = None) -> str:
        """The columns with their types; ``written`` has the names of those that the query names otherwise."""
        names = written or {}
        return ", ".join(
            f"{self._cast(self._quoted(names.get(name, name)), dtype)} AS {self._quoted(name)}"
            for name, dtype in schema.items()
        )

    def _written_names(self, _query: str) -> Mapping[str, str]:
        """How a query writes the names of its columns, by those of :meth:`types_of`, if it does otherwise."""
        return {}

    def _quoted(self, name: str) -> str:
        """A quoted identifier."""
        return sql.name(name)

    def _run_pre_execute_hooks(self, expr: ir.Expr) -> None:
        for table in expr.op().find(ops.DatabaseTable):
            if (rows := self._defined.get(table.name)) is not None:
                self._defined[table.name] = None  # it is there from now on
                self._create_cached_table(table.name, rows)
        super()._run_pre_execute_hooks(expr)

    def _create_cached_table(self, name: str, expr: ir.Table) -> ir.Table:
        self._run_pre_execute_hooks(expr)
        self.run(*self._copy(name, self._typed(expr)))
        return self._table(name, expr.schema())

    def _drop_cached_table(self, name: str) -> None:
        self._unused.append(name)

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        self.load(op.name, op.schema, op.data.to_pyarrow(op.schema).to_batches())

    def _make_memtable_finalizer(self, name: str) -> Any:
        return lambda: self._unused.append(name)
