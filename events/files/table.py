"""A company's own table, one row per customer, of any format: read as texts that are then understood.

Every cell is read as trimmed text, so that a table means the same in either format. What a column
holds is found out from all of its cells (:class:`Profile`), and asked for by type (:meth:`Table.typed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from core.errors import PatronError
from core.storage import sql
from events.files.mapping import FileSection
from events.files.readers.database import described, short_name
from events.files.readers.opening import open_source
from events.files.readers.source import ROW_NUMBER
from events.files.table_numbers import NOT_KNOWN, table_numbers

YES, NO = ("true", "yes", "y", "t"), ("false", "no", "n", "f")
_COUNTS = ("rows", "filled", "distinct", "unknown", "numbers", "whole", "infinite", "moments", "truths")
_ROW = sql.name(ROW_NUMBER)  # beside the file's own columns
_TYPED = {
    "float64": "CASE WHEN isfinite({1}) THEN {1} END",
    "boolean": f"CASE WHEN lower({{0}}) IN {YES} THEN true WHEN lower({{0}}) IN {NO} THEN false END",
    "string": "{0}",
    "moment": "epoch(TRY_CAST({0} AS TIMESTAMP))",  # seconds since 1970-01-01
}


@dataclass(frozen=True)
class Profile:
    """What stands in a column, in cells.

    Attributes:
        rows: all cells, blank ones too.
        filled: not blank.
        distinct: different texts among them.
        unknown: stand for a number that is not known, such as ``n/a``.
        numbers: finite numbers; ``whole`` of them are whole.
        infinite: infinite numbers.
        moments: ISO 8601 dates or times.
        truths: ``yes``, ``no``, ``true`` and the like.
        rising: whether every cell is a whole number above the one before it.
    """

    name: str
    rows: int
    filled: int
    distinct: int
    unknown: int
    numbers: int
    whole: int
    infinite: int
    moments: int
    truths: int
    rising: bool


class Table:
    """The rows of a file or database table, as texts without blanks around them; blank cells are null.

    Attributes:
        place: the file's path, or which table of a database; for messages.
        name: of the file or table alone.
    """

    def __init__(self, place: str, connection: duckdb.DuckDBPyConnection, notes: tuple[str, ...]) -> None:
        self.place, self.name = described(place), short_name(place)
        self._connection = connection
        columns = connection.execute("DESCRIBE cells").fetchall()
        self.names: tuple[str, ...] = tuple(str(row[0]) for row in columns[1:])
        self.rows = int(self._one("SELECT count(*) FROM cells"))
        self._numbers = table_numbers(connection, self.names)
        self.notes = (*notes, *self._numbers.notes)

    def need(self, names: Sequence[str]) -> None:
        """Refuse a table without these columns.

        Raises:
            PatronError: naming those it lacks, and those it has.
        """
        if missing := [name for name in names if name not in self.names]:
            raise PatronError(
                f"{self.place}: there is no column {', '.join(missing)}; it has {', '.join(self.names)}"
            )

    def profile(self, name: str) -> Profile:
        """What stands in a column."""
        self.need([name])
        cell, number = sql.name(name), self._numbers.expressions[name]
        words, unknown = YES + NO, f"lower({cell}) IN {NOT_KNOWN}"
        counted = (
            f"count(*), count({cell}), count(DISTINCT {cell}), count(*) FILTER ({unknown}),"
            f" count(*) FILTER (isfinite({number})),"
            f" count(*) FILTER (isfinite({number}) AND {number} = round({number})),"
            f" count(*) FILTER (isinf({number})), count(TRY_CAST({cell} AS TIMESTAMP)),"
            f" count(*) FILTER (lower({cell}) IN {words})"
        )
        row = self._connection.execute(f"SELECT {counted} FROM cells").fetchone()
        assert row is not None
        counts = dict(zip(_COUNTS, map(int, row), strict=True))
        once = 0 < counts["distinct"] == counts["filled"] == counts["whole"]
        return Profile(name, **counts, rising=once and self._rises(number))

    def _rises(self, number: str) -> bool:
        before = f"lag({number}, 1, '-inf'::DOUBLE) OVER (ORDER BY {_ROW})"
        return bool(
            self._one(f"SELECT bool_and(rises) FROM (SELECT {number} > {before} AS rises FROM cells)")
        )

    def filled(self, name: str) -> int:
        """How many cells of a column are not blank."""
        return self._one(f"SELECT count({sql.name(name)}) FROM cells")

    def repeated(self) -> int:
        """How many rows say the same as another one in every column."""
        different = f"SELECT count(*) FROM (SELECT DISTINCT * EXCLUDE ({_ROW}) FROM cells)"
        return self.rows - self._one(different)

    def values(self, name: str) -> list[str]:
        """The different texts of a column, the most common first."""
        cell = sql.name(name)
        query = f"SELECT {cell} FROM cells WHERE {cell} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1"
        return [str(row[0]) for row in self._connection.execute(query).fetchall()]

    def typed(self, types: Mapping[str, str]) -> dict[str, pa.Array]:
        """Columns as Arrow arrays, in the file's order; null where a cell is not of the type.

        Args:
            types: by column ``float64``, ``boolean``, ``string``, or ``moment`` (seconds since 1970).
        """
        self.need([*types])
        if not types:
            return {}
        expressions = ", ".join(
            f"{_TYPED[dtype].format(sql.name(name), self._numbers.expressions[name])} AS {sql.name(name)}"
            for name, dtype in types.items()
        )
        table = self._connection.execute(f"SELECT {expressions} FROM cells ORDER BY {_ROW}").to_arrow_table()
        return {name: table[name].combine_chunks() for name in types}

    def numbers(self, name: str, dtype: str = "float64") -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """A column of :meth:`typed` as floats; NaN where it is null."""
        column = self.typed({name: dtype})[name].cast(pa.float64())
        numbers: np.ndarray[tuple[int], np.dtype[np.float64]] = column.to_numpy(zero_copy_only=False)
        return numbers

    def _one(self, query: str) -> int:
        row = self._connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])


def open_table(place: str | Path) -> Table:
    """Read a file of any format that an import reads, or a database's table (``URL#TABLE``).

    Raises:
        PatronError: there is no such file, it is empty, or it cannot be read as a table.
    """
    connection = duckdb.connect()
    with open_source(connection, str(place), FileSection()) as source:
        trimmed = ", ".join(
            f"nullif(trim({sql.name(name)}::VARCHAR, ' \t\u00a0'), '') AS {sql.name(name)}"
            for name in source.names
        )
        source.relation.project(f"{_ROW}, {trimmed}").create("cells")
        notes = list(source.notes)
        if torn := source.rejected_lines(connection):
            notes.append(f"{torn:,} lines could not be taken apart and are left out")
        if source.file.header is False:
            notes.append("the first line looks like data, so the columns are named column0, column1 ...")
    table = Table(str(place), connection, tuple(notes))
    if not table.rows:
        raise PatronError(f"{table.place}: there is no row below the header; it takes a row per customer")
    return table
