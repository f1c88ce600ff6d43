"""Opening what is to be imported, of any format, as the DuckDB table ``raw``.

``raw`` has ``row_number`` (from 1, in the file's order), ``unmapped_hashes`` and the mapped columns. A
mapped column has the name that :func:`raw_column` gives it, so that a file's ``Quantity`` is not taken for
what was read of it.
DuckDB reads text and Parquet in a stream, so such a file may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from core.errors import PatronError
from core.storage import sql
from events.files.mapping import FileSection
from events.files.readers.database import described
from events.files.readers.opening import open_source
from events.files.readers.source import MAX_HASHED_COLUMNS, ROW_NUMBER


@dataclass(frozen=True)
class RawRows:
    """What was read into ``raw``.

    Attributes:
        torn: lines that could not be taken apart; ``reject_errors`` has their numbers.
        ignored: columns that the mapping does not name.
        hashed: those of them whose cells' hashes ``unmapped_hashes`` has.
        format: what was read, in words, such as ``text in gb18030, cells separated by ;``.
        notes: what was read otherwise than it stands there, in words.
    """

    torn: int
    ignored: tuple[str, ...]
    hashed: tuple[str, ...]
    format: str
    notes: tuple[str, ...]


def raw_column(name: str | None) -> str:
    """A mapped column of ``raw``, quoted for SQL."""
    return sql.name(f"raw {name}")


def open_raw(
    connection: duckdb.DuckDBPyConnection,
    place: str,
    file: FileSection,
    columns: Sequence[str],
    table: str | None = None,
) -> RawRows:
    """Make ``raw`` of the columns asked for.

    Args:
        place: a file, or an SQLAlchemy URL.
        table: the database's table.

    Raises:
        PatronError: what is there cannot be read, or lacks a column; says which it has.
    """
    file = file.model_copy(update={"header": file.header is not False})
    with open_source(connection, place, file, table, columns) as source:
        if missing := [column for column in columns if column not in source.names]:
            raise PatronError(
                f"{described(place, table)}: there is no column {', '.join(missing)};"
                f" it has {', '.join(source.names)}"
            )
        named = ", ".join(f"{sql.name(column)} AS {raw_column(column)}" for column in columns)
        ignored = tuple(column for column in source.names if column not in columns)
        hashed = [name for name in ignored if name in source.relation.columns][:MAX_HASHED_COLUMNS]
        hashes = ", ".join(f"hash({sql.name(name)})" for name in hashed)
        number = f"{sql.name(ROW_NUMBER)} AS row_number"
        source.relation.project(f"{number}, [{hashes}]::UBIGINT[] AS unmapped_hashes, {named}").create("raw")
        return RawRows(source.rejected_lines(connection), ignored, tuple(hashed), source.format, source.notes)
