"""What a reader returns, and how texts that Python reads become a relation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import duckdb
import pyarrow as pa

from core.storage import sql
from events.files.mapping import FileSection

CHUNK_ROWS = 50_000
MAX_HASHED_COLUMNS = 30
"""Unmapped columns, the first, whose cells are hashed: do they tell equal rows apart?"""
ROW_NUMBER = "row of the file"
"""The name of the column of row numbers, from 1; hardly a name of a file's own."""


@dataclass(frozen=True)
class Source:
    """An opened file or database table.

    Attributes:
        names: its columns, each different even where case is ignored.
        relation: the column ``ROW_NUMBER`` (from 1, in the source's order) and the columns.
        format: what it is, in words, such as ``CSV in gb18030``.
        file: how it is read, as the ``[file]`` section of a mapping that names it all.
        notes: what was read otherwise than it stands there, in words.
        has_rejects: whether DuckDB keeps the lines that cannot be taken apart in ``reject_errors``.
    """

    names: tuple[str, ...]
    relation: duckdb.DuckDBPyRelation
    format: str
    file: FileSection = field(default_factory=FileSection)
    notes: tuple[str, ...] = ()
    has_rejects: bool = False

    def rejected_lines(self, connection: duckdb.DuckDBPyConnection) -> int:
        """How many lines could not be taken apart, once the relation was read."""
        if not self.has_rejects:
            return 0
        row = connection.execute("SELECT count(DISTINCT line) FROM reject_errors").fetchone()
        return int(row[0]) if row else 0


def without_blank_rows(relation: duckdb.DuckDBPyRelation, names: Sequence[str]) -> duckdb.DuckDBPyRelation:
    """The rows in which some cell is filled."""
    return relation.filter(" OR ".join(f"trim({sql.name(name)}) <> ''" for name in names))


def load_rows(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    names: Sequence[str],
    rows: Iterable[Sequence[str | None]],
    limit: int | None = None,
) -> int:
    """Create a table of row numbers and texts from rows, chunk by chunk; blank rows are numbered only.

    Args:
        limit: how many rows to read at most.

    Returns:
        The number of rows read.
    """
    columns = ", ".join(f"{sql.name(name)} VARCHAR" for name in names)
    connection.execute(f"CREATE TABLE {table} ({sql.name(ROW_NUMBER)} BIGINT, {columns})")
    number = 0
    for chunk in _chunks(iter(rows) if limit is None else islice(rows, limit)):
        numbers = pa.array(range(number + 1, number + len(chunk) + 1), "int64")
        texts = [pa.array(cells, "string") for cells in zip(*chunk, strict=True)]
        batch = pa.table([numbers, *texts], names=[ROW_NUMBER, *names])
        connection.register("chunk_of_rows", batch)
        connection.execute(f"INSERT INTO {table} SELECT * FROM chunk_of_rows")
        connection.unregister("chunk_of_rows")
        number += len(chunk)
    return number


def _chunks(rows: Iterator[Sequence[str | None]]) -> Iterator[list[Sequence[str | None]]]:
    while chunk := list(islice(rows, CHUNK_ROWS)):
        yield chunk
