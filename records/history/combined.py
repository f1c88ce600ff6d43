"""Tables of predictions combined into one: their columns, and the last prediction of a customer and day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from records.batches import DAY, KEY

AFTER = "_after"
"""The column of the number of a row in the log's table."""


def union_all(tables: Sequence[ir.Table]) -> ir.Table:
    """The rows of all tables, with the columns of any."""
    types = _common([table.schema() for table in tables])
    return ibis.union(
        *(
            table.select(
                **{
                    name: table[name].cast(kind) if name in table.columns else ibis.null(kind)
                    for name, kind in types.items()
                }
            )
            for table in tables
        )
    )


def concatenate(tables: Sequence[pa.Table]) -> pa.Table:
    """The same of tables in memory."""
    types = ibis.schema(_common([ibis.schema(table.schema) for table in tables])).to_pyarrow()
    complete = []
    for table in tables:
        columns = [
            table[field.name].cast(field.type)
            if field.name in table.column_names
            else pa.nulls(table.num_rows, field.type)
            for field in types
        ]
        complete.append(pa.table(columns, schema=types))
    return pa.concat_tables(complete)


def last_of_day(rows: pa.Table) -> pa.Table:
    """The row of each customer and day with the highest ``AFTER``; of equal ones, the last."""
    day, key, after = (rows[name].to_numpy() for name in (DAY, KEY, AFTER))
    order = np.lexsort((after, key, day))
    changes = (np.diff(day[order]) != 0) | (np.diff(key[order]) != 0)
    return rows.take(order[np.append(changes, np.ones(min(len(order), 1), bool))])


def _common(schemas: Iterable[ibis.Schema]) -> dict[str, dt.DataType]:
    """A type of each column that has the values of all tables: numbers, or texts if not all are numbers."""
    types: dict[str, set[dt.DataType]] = {}
    for schema in schemas:
        for name, kind in schema.items():
            types.setdefault(name, set()).add(kind.copy(nullable=True))
    return {name: _wider(kinds - {dt.null}) for name, kinds in types.items()}


def _wider(kinds: set[dt.DataType]) -> dt.DataType:
    if len(kinds) == 1:
        return next(iter(kinds))
    # A truth value is no number. A column without values may have any type.
    return dt.float64 if all(kind.is_numeric() and not kind.is_boolean() for kind in kinds) else dt.string
