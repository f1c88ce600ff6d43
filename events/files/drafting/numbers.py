"""How the numbers of columns are written: decimal marks and separators of thousands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from core.storage import sql

NUMBER = (
    r"^\(?[-+\x{2212}]?\s*([€$£¥￥₹₽₩]|[A-Za-z]{1,3}\$|[A-Z]{3}|Rs\.?|kr\.?|zł)?\s*[-+\x{2212}]?"
    r"\d[\d.,'\s\x{00A0}\x{202F}]*([Ee][-+]?\d{1,2})?\s*([€$£¥￥元]|[A-Z]{3}|kr\.?|zł|%)?-?\)?$"
)
"""A number with what stands around it, as a pattern of DuckDB."""
_BARE = r"[^\d.,']"
EVIDENCE = {
    # Two separators, or another number of digits than three behind the last one, decide.
    "comma": r"(\d\.\d{3},\d+$)|(^0,\d+$)|(^[^,]*,(\d{1,2}|\d{4,})$)|(\d\.\d{3}\.\d{3}$)",
    "point": r"(\d,\d{3}\.\d+$)|(^0\.\d+$)|(^[^.]*\.(\d{1,2}|\d{4,})$)|(\d,\d{3},\d{3}$)",
    "either_comma": r"^[1-9]\d{0,2},\d{3}$",
    "either_point": r"^[1-9]\d{0,2}\.\d{3}$",
    "commas": ",",
    "points": r"\.",
    "apostrophes": r"\d'\d{3}",
}


@dataclass(frozen=True)
class NumberStyle:
    """How numbers are written.

    Attributes:
        doubt: what cannot be decided, in words; empty if it can.
    """

    decimal: str
    thousands: str
    doubt: str = ""


def number_style(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> NumberStyle:
    """The decimal mark and separator of thousands that all cells of these columns agree on.

    ``1.200`` alone may be 1.2 or 1200; it is read as 1200, and the style has a doubt.
    """
    return style_of(*evidence(connection, table, columns))


def evidence(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]
) -> tuple[dict[str, int], str]:
    """How many cells of these columns match each pattern of ``EVIDENCE``, and one that decides nothing."""
    counts = dict.fromkeys(EVIDENCE, 0)
    example = ""
    for column in columns:
        row = _counts(connection, table, column)
        for name, count in zip(EVIDENCE, row, strict=False):
            counts[name] += int(count or 0)
        example = example or str(row[-1] or "")
    return counts, example


def _counts(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> tuple[Any, ...]:
    bare = f"regexp_replace({sql.name(column)}, {sql.literal(_BARE)}, '', 'g')"
    tests = ", ".join(
        f"count(*) FILTER (regexp_matches(bare, {sql.literal(pattern)}))" for pattern in EVIDENCE.values()
    )
    either = f"'{EVIDENCE['either_comma']}|{EVIDENCE['either_point']}'"
    row = connection.execute(
        f"SELECT {tests}, min(bare) FILTER (regexp_matches(bare, {either}))"
        f" FROM (SELECT {bare} AS bare FROM {table})"
    ).fetchone()
    assert row is not None
    return row


def style_of(counts: dict[str, int], example: str) -> NumberStyle:
    """The style that the counts of :func:`evidence` speak for."""
    comma, point = counts["comma"], counts["point"]
    if comma or point:
        by_comma = comma > point
        thousands = ("." if counts["points"] else "") if by_comma else ("," if counts["commas"] else "")
        fewer = min(comma, point)
        doubt = f"{fewer:,} cells are written the other way" if fewer else ""
        return NumberStyle("," if by_comma else ".", thousands or _apostrophe(counts), doubt)
    if not (counts["either_comma"] or counts["either_point"]):
        return NumberStyle(".", _apostrophe(counts))
    points = counts["either_point"] > counts["either_comma"]
    whole = example.replace(".", "").replace(",", "")
    doubt = f"no cell decides it: {example} is read as {whole}; if it has decimals, "
    if points:
        return NumberStyle(",", ".", doubt + 'write decimal = "." and no thousands')
    return NumberStyle(".", ",", doubt + 'write decimal = "," and no thousands')


def _apostrophe(counts: dict[str, int]) -> str:
    return "'" if counts["apostrophes"] else ""
