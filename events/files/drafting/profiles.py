"""What stands in each column of a sample, and how it varies with the others."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from core.storage import sql
from events.files.drafting.numbers import NUMBER
from events.files.readers.source import ROW_NUMBER

SAMPLE = "sample"
"""The table of sampled rows: their numbers and the columns, as trimmed texts."""
SAMPLE_ROWS = 20_000
MAX_SAMPLES = 3
_EXPONENT = r"'^\d[.,]\d+[Ee]\+\d+$'"  # what a spreadsheet makes of a long number
_MAIL = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
_PHONE = r"^\+?\(?\d[\d\s()/.-]{6,}\d$"


@dataclass(frozen=True)
class ColumnProfile:
    """A column of the sample.

    Attributes:
        rows: all cells.
        filled, distinct: cells that are not blank, and different texts among them.
        numbers, whole, negative, zero: shares of the filled cells.
        mails, phones: likewise.
        length: mean number of characters.
        samples: the most common texts.
    """

    name: str
    rows: int
    filled: int
    distinct: int
    numbers: float
    whole: float
    negative: float
    mails: float
    phones: float
    length: float
    samples: tuple[str, ...]

    @property
    def unique(self) -> bool:
        """Whether no text occurs twice, and few cells are blank."""
        return self.distinct == self.filled > 0.95 * self.rows

    @property
    def repeats(self) -> float:
        """The mean number of cells of one text."""
        return self.filled / max(1, self.distinct)

    @property
    def is_numeric(self) -> bool:
        """Whether nearly all filled cells are numbers."""
        return self.filled > 0 and self.numbers > 0.7

    @property
    def kind(self) -> str:
        """The type in a word."""
        if not self.filled:
            return "empty"
        if self.is_numeric:
            return "whole numbers" if self.whole > 0.99 else "numbers"
        return "constant" if self.distinct == 1 and self.rows > 2 else "text"


def profile(connection: duckdb.DuckDBPyConnection, name: str) -> ColumnProfile:
    """The profile of a column of the sample."""
    cell = sql.name(name)
    bare = f"regexp_replace({cell}, '[^0-9.,-]', '', 'g')"
    shares = {
        "numbers": f"regexp_matches({cell}, {sql.literal(NUMBER)})",
        "whole": rf"(regexp_matches({bare}, '^-?\d+([.,]0+)?$') OR regexp_matches({cell}, {_EXPONENT}))",
        "negative": rf"regexp_matches({cell}, '^\(?-.*\d|\d-$|^\(.*\d.*\)$')",
        "mails": f"regexp_matches({cell}, {sql.literal(_MAIL)})",
        "phones": f"regexp_matches({cell}, {sql.literal(_PHONE)})",
    }
    tests = ", ".join(f"avg(({test})::INT) FILTER ({cell} <> '')" for test in shares.values())
    row = connection.execute(
        f"SELECT count(*), count(*) FILTER ({cell} <> ''), count(DISTINCT nullif({cell}, '')), {tests},"
        f" avg(length({cell})) FILTER ({cell} <> '') FROM {SAMPLE}"
    ).fetchone()
    assert row is not None
    common = connection.execute(
        f"SELECT {cell} FROM {SAMPLE} WHERE {cell} <> '' GROUP BY 1"
        f" ORDER BY count(*) DESC, min({sql.name(ROW_NUMBER)})"
        f" LIMIT {MAX_SAMPLES}"
    ).fetchall()
    rows, filled, distinct, *measured = row
    numbers, whole, negative, mails, phones, length = (float(value or 0) for value in measured)
    samples = tuple(str(text)[:40] for (text,) in common)
    return ColumnProfile(
        name, rows, filled, distinct, numbers, whole, negative, mails, phones, length, samples
    )


def determines(connection: duckdb.DuckDBPyConnection, one: str, other: str) -> float:
    """Of the texts of ``one`` in several rows, the share with one ``other``; 1 without any."""
    row = connection.execute(
        f"SELECT avg((n = 1)::INT) FROM (SELECT count(DISTINCT {sql.name(other)}) AS n FROM {SAMPLE}"
        f" WHERE {sql.name(one)} <> '' GROUP BY {sql.name(one)} HAVING count(*) > 1)"
    ).fetchone()
    return 1.0 if row is None or row[0] is None else float(row[0])
