"""Ibis' backend for Spark, changed where its values differ from DuckDB's.

- Tables are passed as Arrow. Ibis passes them through pandas, where a null makes an integer a float, and a
  null decimal is an error.
- Spark reads ``\\v`` in a text as the letter v, so that blanks around a text included the letters v and f.
- The mean of decimals is the quotient of their exact sum, as Spark's own has four more places only.
- SQL of a home's own features is DuckDB's, and is translated.

:mod:`core.storage.spark_engine` alone imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from ibis.backends.pyspark import Backend
from ibis.backends.pyspark.datatypes import PySparkSchema, PySparkType
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.backends.sql.dialects import PySpark
from pyspark.sql import DataFrame
from sqlglot import exp

CUSTOMER = "customer_key"
Batches = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


class ReadTasks(NamedTuple):
    """Tasks that read a table.

    Attributes:
        tasks: how many there are.
        function: returns the rows of the tasks whose numbers are in batches.
    """

    tasks: int
    function: Batches
    schema: ibis.Schema


class _Dialect(PySpark):  # type: ignore[misc]  # Ibis has no types
    """Spark's SQL with the escape sequences that Spark reads; other characters stand for themselves."""


_Dialect.ESCAPED_SEQUENCES = {
    character: sequence
    for character, sequence in _Dialect.ESCAPED_SEQUENCES.items()
    if character not in "\a\f\v"
}


class _Compiler(PySparkCompiler):  # type: ignore[misc]
    dialect = _Dialect

    def visit_Mean(self, op: ops.Mean, *, arg: Any, where: Any) -> Any:  # noqa: N802
        if not op.arg.dtype.is_decimal():
            return super().visit_Mean(op, arg=arg, where=where)
        whole = self.cast(self.agg.sum(arg, where=where), dt.float64)
        return whole / self.agg.count(arg, where=where)

    def visit_SQLStringView(self, _op: ops.SQLStringView, *, query: str, **_: Any) -> Any:  # noqa: N802
        translated = sqlglot.parse_one(query, read="duckdb")
        for mean in translated.find_all(exp.Avg):
            mean.set("this", exp.cast(mean.this, "double"))
        return translated


class SparkBackend(Backend):  # type: ignore[misc]
    """Runs Ibis expressions on Spark.

    Attributes:
        tasks_of: the tasks that read files of this machine which Spark cannot read; None if it can.
    """

    compiler = _Compiler()
    tasks_of: Callable[[Sequence[Path]], ReadTasks] | None = None

    def frame(self, expression: ir.Table) -> DataFrame:
        """An expression as Spark's data frame, which is computed when it is used."""
        self._run_pre_execute_hooks(expression)
        return self._session.sql(self.compile(expression))

    def view(self, frame: DataFrame, schema: ibis.Schema) -> ir.Table:
        """A data frame as an Ibis table of this session."""
        name = ibis.util.gen_name("spark")
        frame.createOrReplaceTempView(name)
        table: ir.Table = ops.DatabaseTable(name, schema, self).to_expr()
        return table

    def read_parquet(self, paths: Sequence[Path], /) -> ir.Table:
        """Parquet files with all columns of any; the names of folders are not columns."""
        if self.tasks_of is not None:
            tasks = self.tasks_of(paths)
            return self.view(self._map_numbers(*tasks), tasks.schema)
        reader = self._session.read.option("recursiveFileLookup", "true").option("mergeSchema", "true")
        frame = reader.parquet(*map(str, paths))
        return self.view(frame, ibis.schema(PySparkType.to_ibis(frame.schema)))

    def map_batches(self, rows: ir.Table, function: Batches, schema: ibis.Schema) -> ir.Table:
        """The batches that a function makes of the batches of a table, on the executors.

        The function is imported there, so its module must be installed on every machine.
        """
        mapped = self.frame(rows).mapInArrow(function, PySparkSchema.from_ibis(schema))
        return self.view(mapped, schema)

    def rows_of_batches(self, frame: DataFrame, function: Batches, schema: ibis.Schema) -> pa.Table:
        """The same of a data frame, as a table of this process."""
        mapped = frame.mapInArrow(function, PySparkSchema.from_ibis(schema)).toArrow()
        return mapped.cast(schema.to_pyarrow())

    def sum_of_tasks(self, count: int, function: Batches) -> int:
        """The sum of the integers that a function makes of the numbers from 0 to ``count``, each a task."""
        results = self._map_numbers(count, function, ibis.schema({"result": "int64"})).toArrow()
        return int(pc.sum(results["result"]).as_py() or 0)

    def _map_numbers(self, count: int, function: Batches, schema: ibis.Schema) -> DataFrame:
        numbers = self._session.range(0, count, 1, count)
        return numbers.mapInArrow(function, PySparkSchema.from_ibis(schema))

    def to_pyarrow(self, expr: ir.Expr, /, **_: Any) -> Any:
        """The result of an expression, with the types that Ibis declares."""
        table = expr.as_table()
        rows = self.frame(table).toArrow().cast(table.schema().to_pyarrow())
        return expr.__pyarrow_result__(rows)

    def execute(self, expr: ir.Expr, /, **_: Any) -> Any:
        """The result of an expression as pandas has it."""
        table = expr.as_table()
        return expr.__pandas_result__(self.to_pyarrow(table).to_pandas())

    def _create_cached_table(self, name: str, expr: ir.Table) -> ir.Table:
        frame = self.frame(expr)
        if CUSTOMER in frame.columns:  # then joins and sums by customer exchange no rows
            partitions = int(self._session.conf.get("spark.sql.shuffle.partitions"))
            frame = frame.repartition(partitions, CUSTOMER)
        cached = frame.cache()
        cached.createTempView(name)
        self._cached_dataframes[name] = cached
        table: ir.Table = ops.DatabaseTable(name, expr.schema(), self).to_expr()
        return table

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        rows = op.data.to_pyarrow(op.schema)
        frame = self._session.createDataFrame(rows, schema=PySparkSchema.from_ibis(op.schema))
        frame.createOrReplaceTempView(op.name)
