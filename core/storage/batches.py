"""Statements about many rows, executed by the driver, since SQLAlchemy would cost more than the database.

PostgreSQL gets the statements of one call together, and answers them in one round trip.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

Rows = Sequence[tuple[Any, ...]]
_VALUES_PER_STATEMENT = 500  # of SQLite


class Lookup(NamedTuple):
    """A SELECT of the rows in which a column has one of many values; of all rows without a column.

    Attributes:
        select: SQL without WHERE.
    """

    select: str
    column: str = ""
    values: Sequence[str] | Sequence[bytes] = ()


class Statement(NamedTuple):
    """SQL with a question mark for each value."""

    text: str
    values: Sequence[Any] = ()


class Insert(NamedTuple):
    """Rows of a table.

    Attributes:
        rows: a value for each column.
        columns: the columns; all of the table by default.
    """

    table: sa.Table
    rows: Rows
    columns: tuple[sa.Column[Any], ...] = ()


def fetch(connection: sa.Connection, lookups: Sequence[Lookup]) -> list[Rows]:
    """The rows of each lookup.

    Raises:
        sqlalchemy.exc.DBAPIError: the database cannot be used, or a value cannot be compared.
    """
    if connection.dialect.name == "postgresql":
        from core.storage import postgres  # its client takes a tenth of a second to import

        return postgres.execute(connection, [as_statement(lookup) for lookup in lookups])
    return [_fetch_in_parts(connection, lookup) for lookup in lookups]


def execute(connection: sa.Connection, changes: Sequence[Insert | Statement], *, last: bool = False) -> None:
    """Change rows, in the order given.

    Args:
        last: whether nothing follows in the transaction; PostgreSQL then commits in the same round trip.

    Raises:
        sqlalchemy.exc.DBAPIError: the database cannot be used, or cannot store a value.
    """
    changes = [change for change in changes if isinstance(change, Statement) or change.rows]
    if connection.dialect.name == "postgresql":
        from core.storage import postgres  # its client takes a tenth of a second to import

        statements = [_insertion(change) if isinstance(change, Insert) else change for change in changes]
        postgres.execute(connection, [*statements, Statement("COMMIT")] if last else statements)
        return
    for change in changes:
        if isinstance(change, Statement):
            connection.exec_driver_sql(change.text, tuple(change.values))
        else:
            text = _insert_values(change.table, change.columns)
            connection.exec_driver_sql(text, [tuple(row) for row in change.rows])


def as_statement(lookup: Lookup) -> Statement:
    """A lookup as one statement of PostgreSQL."""
    if not lookup.column:
        return Statement(lookup.select)
    # The driver cannot tell the type of an empty array; null is equal to nothing either.
    return Statement(f"{lookup.select} WHERE {lookup.column} = ANY(?)", (list(lookup.values) or None,))


def _insertion(insert: Insert) -> Statement:
    """An insertion as one statement of PostgreSQL, with an array for each column."""
    arrays = [list(part) for part in zip(*insert.rows, strict=True)]
    return Statement(_insert_arrays(insert.table, insert.columns), arrays)


@cache
def _insert_arrays(table: sa.Table, columns: tuple[sa.Column[Any], ...]) -> str:
    kind: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    arrays = ", ".join(f"?::{column.type.compile(kind)}[]" for column in columns or table.columns)
    return f"{_insert_into(table, columns)} SELECT * FROM unnest({arrays})"


@cache
def _insert_values(table: sa.Table, columns: tuple[sa.Column[Any], ...]) -> str:
    marks = ", ".join("?" * len(columns or table.columns))
    return f"{_insert_into(table, columns)} VALUES ({marks})"


def _insert_into(table: sa.Table, columns: tuple[sa.Column[Any], ...]) -> str:
    names = ", ".join(column.name for column in columns or table.columns)
    return f"INSERT INTO {table.name} ({names})"


def _fetch_in_parts(connection: sa.Connection, lookup: Lookup) -> Rows:
    if not lookup.column:
        return connection.exec_driver_sql(lookup.select).cursor.fetchall()
    fetched: list[tuple[Any, ...]] = []
    for start in range(0, len(lookup.values), _VALUES_PER_STATEMENT):
        part = tuple(lookup.values[start : start + _VALUES_PER_STATEMENT])
        marks = ", ".join("?" * len(part))
        text = f"{lookup.select} WHERE {lookup.column} IN ({marks})"
        fetched += connection.exec_driver_sql(text, part).cursor.fetchall()
    return fetched
