"""Tables of databases, by SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from core.errors import PatronError
from events.files.mapping import FileSection
from events.files.readers.source import CHUNK_ROWS, Source, load_rows


def is_database(place: str) -> bool:
    """Whether a place is an SQLAlchemy URL and not a file."""
    return "://" in place


def described(place: str, table: str | None = None) -> str:
    """A file by its path, a database's table by its name; no part of the URL, which may hold a password."""
    if not is_database(place):
        return place
    name = short_name(place, table)
    return f"the database's table {name}" if name else "the database's table"


def short_name(place: str, table: str | None = None) -> str:
    """The name of a file or of a database's table alone; "" where the URL names no table."""
    return table or place.partition("#")[2] if is_database(place) else Path(place).name


def open_database(
    connection: duckdb.DuckDBPyConnection,
    url: str,
    table: str | None,
    file: FileSection,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
) -> Source:
    """Copy a table chunk by chunk, so that it may be larger than memory.

    Args:
        table: the table's name; without it, the part of the URL after ``#``.
        columns: those to copy, as far as there are such; all by default.
        limit: how many rows to copy at most.

    Raises:
        PatronError: no table is named, it cannot be read, or it is empty; the text holds no part of the URL.
    """
    import sqlalchemy as sa

    if table is None:
        url, _, table = url.partition("#")
    if not table:
        raise PatronError("name the database's table with --table, or after the URL as URL#TABLE")
    try:
        engine = sa.create_engine(url)
        schema, name = _schema_and_name(sa.inspect(engine), table)
        columns_there = sa.inspect(engine).get_columns(name, schema=schema)
        names = tuple(str(column["name"]) for column in columns_there)
        copied = [name for name in names if columns is None or name in columns] or list(names)
        query: Any = (
            sa.select(*(sa.column(column) for column in copied))
            .select_from(sa.table(name, schema=schema))
            .limit(limit)
        )
        with engine.connect().execution_options(stream_results=True) as opened:
            read = load_rows(connection, "database_rows", copied, _rows(opened.execute(query)))
        engine.dispose()
    except (sa.exc.SQLAlchemyError, ModuleNotFoundError, ValueError) as error:
        # The error's own text may hold the URL and with it a password.
        raise PatronError(
            f"the database's table {table} cannot be read ({type(error).__name__}); see that the URL, the"
            " table's name and the database's Python driver are right"
        ) from error
    if not read:
        raise PatronError(f"table {table} is empty; nothing was read")
    return Source(names, connection.table("database_rows"), f"table {table} of a database", file)


def _schema_and_name(inspector: Any, table: str) -> tuple[str | None, str]:
    """The schema and the name of a table; ``sales.orders`` is the table orders of the schema sales."""
    schema, point, name = table.rpartition(".")
    return (schema, name) if point and not inspector.has_table(table) else (None, table)


def _rows(result: Any) -> Iterator[list[str | None]]:
    for chunk in result.partitions(CHUNK_ROWS):
        yield from ([_text(value) for value in row] for row in chunk)


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)
