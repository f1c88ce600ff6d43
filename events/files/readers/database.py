"""Tables of databases, by SQLAlchemy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from core.errors import PatronError
from core.storage.sql import with_driver
from events.files.mapping import FileSection
from events.files.readers.source import CHUNK_ROWS, MAX_HASHED_COLUMNS, Source, load_rows

_MAX_UNMAPPED = 100
"""Characters of a cell of an unmapped column; of longer ones the digest is copied."""


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
        columns: those to copy, as far as there are such; all by default. Of the first
            ``MAX_HASHED_COLUMNS`` others short texts are copied, if the database's user may read them.
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
        engine = sa.create_engine(with_driver(url))
        schema, name = _schema_and_name(sa.inspect(engine), table)
        columns_there = sa.inspect(engine).get_columns(name, schema=schema)
        names = tuple(str(column["name"]) for column in columns_there)
        binary = {str(c["name"]) for c in columns_there if isinstance(c["type"], sa.LargeBinary)}
        mapped = [column for column in names if columns is None or column in columns] or list(names)
        others = [column for column in names if column not in {*mapped, *binary}][:MAX_HASHED_COLUMNS]
        source = sa.table(name, schema=schema)
        if others and not _may_read(engine, _query(source, others, 1)):
            others = []
        copied = [*mapped, *others]
        with engine.connect().execution_options(stream_results=True) as opened:
            rows = _rows(opened.execute(_query(source, copied, limit)), len(mapped))
            read = load_rows(connection, "database_rows", copied, rows)
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


def _query(table: Any, names: Sequence[str], limit: int | None) -> Any:
    import sqlalchemy as sa

    return sa.select(*(sa.column(name) for name in names)).select_from(table).limit(limit)


def _may_read(engine: Any, query: Any) -> bool:
    """Whether the user of the database may read the columns of a query."""
    import sqlalchemy as sa

    try:
        with engine.connect() as connection:
            connection.execute(query).fetchall()
    except sa.exc.SQLAlchemyError:
        return False
    return True


def _rows(result: Any, mapped: int) -> Iterator[list[str | None]]:
    """The rows as texts; of cells after the first ``mapped`` ones that are long, digests."""
    for chunk in result.partitions(CHUNK_ROWS):
        for row in chunk:
            texts = [_text(value) for value in row]
            yield texts[:mapped] + [_shortened(text) for text in texts[mapped:]]


def _shortened(text: str | None) -> str | None:
    if text is None or len(text) <= _MAX_UNMAPPED:
        return text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)
