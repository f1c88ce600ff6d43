"""How the columns of a table write their numbers: decimal point or comma, and separators of thousands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from core.storage import sql
from events.files import currencies, expressions
from events.files.drafting import numbers
from events.files.drafting.numbers import NumberStyle

NOT_KNOWN = ("na", "n/a", "nan", "null", "none", "-", "?", "unknown")  # among numbers; a category otherwise
_SIGN = rf"\s*({currencies.TOKEN}|%)?\s*"
_GROUPED = r"[1-9]\d{0,2}(([.,'’\s\x{00A0}\x{202F}]\d{3})+|(,\d{2})*,\d{3})([.,]\d+)?"  # the latter in India
_NUMBER = rf"^\(?[-+\x{{2212}}]?{_SIGN}[-+\x{{2212}}]?({_GROUPED}|\d*[.,]?\d+([Ee][-+]?\d+)?){_SIGN}-?\)?$"
_MIN_SHARE = 0.9  # of the known cells, those that are numbers


@dataclass(frozen=True)
class TableNumbers:
    """The number of each column's cell, as SQL (DOUBLE; NULL where it is none), and what is noted of it."""

    expressions: dict[str, str]
    notes: tuple[str, ...]


def plain(name: str) -> str:
    """The number of a cell that a program wrote, as SQL."""
    return f"TRY_CAST({sql.name(name)} AS DOUBLE)"


def table_numbers(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> TableNumbers:
    """Decide over all cells of the table ``cells``, for each column by itself.

    Where a column's own cells do not decide, as of ``1.200`` and ``950``, the other columns do; where they
    do not either, a point is the decimal mark and a comma separates thousands, and a note says so.
    """
    written = _written(connection, names)
    counts = {name: numbers.evidence(connection, "cells", [name])[0] for name in written}
    total = {key: sum(own[key] for own in counts.values()) for key in numbers.EVIDENCE}
    readings, notes = {name: plain(name) for name in names}, []
    for name, is_plain in written.items():
        style, doubt = _style(counts[name], total)
        if style != NumberStyle(".", "") or not is_plain:
            text = f"rtrim({sql.name(name)}, ' %')"
            readings[name] = expressions.number_of(text, style.decimal, style.thousands)
            if len(codes := _currencies(connection, name)) > 1:
                notes.append(
                    f"{name}: amounts in {' and '.join(codes)} are read as they stand, not converted"
                )
        if style.decimal == ",":
            notes.append(f"{name}: numbers are read with a decimal comma")
        if doubt:
            notes.append(f"{name}: {doubt}")
    return TableNumbers(readings, tuple(notes))


def _written(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, bool]:
    """The columns of numbers with points, commas or signs, and whether all of them are plain numbers."""
    written = {}
    for name in names:
        cell = sql.name(name)
        row = connection.execute(
            f"SELECT count(*), count({plain(name)}), count(*) FILTER (regexp_matches({cell}, '[.,'']')),"
            f" count(*) FILTER ({plain(name)} IS NULL AND regexp_matches({cell}, '[0-9]'))"
            f" FROM cells WHERE {cell} IS NOT NULL AND lower({cell}) NOT IN {NOT_KNOWN}"
        ).fetchone()
        assert row is not None
        known, plains, marked, others = row
        if others:
            likely = connection.execute(
                f"SELECT count(*) FROM cells WHERE regexp_matches({cell}, {sql.literal(_NUMBER)})"
                f" AND lower({cell}) NOT IN {NOT_KNOWN}"
            ).fetchone()
            assert likely is not None
            if likely[0] >= _MIN_SHARE * known:
                written[name] = False
        elif marked and plains >= _MIN_SHARE * known:
            written[name] = True
    return written


def _currencies(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """The currencies that a column's amounts name, in alphabetical order."""
    stated = currencies.stated(sql.name(name), "''")
    query = f"SELECT DISTINCT {stated} AS code FROM cells WHERE {sql.name(name)} IS NOT NULL ORDER BY 1"
    return [str(code) for (code,) in connection.execute(query).fetchall() if code]


def _style(own: dict[str, int], total: dict[str, int]) -> tuple[NumberStyle, str]:
    """The style of a column, by its own cells or by the table's; and what nothing decides, in words."""
    decides = own if own["comma"] or own["point"] else total
    if not (decides["comma"] or decides["point"]):
        if own["either_comma"]:
            return NumberStyle(".", ","), "a comma is read as a separator of thousands; no cell decides it"
        doubt = "a point is read as the decimal mark; no cell decides it" if own["either_point"] else ""
        return NumberStyle(".", "'" if own["apostrophes"] else ""), doubt
    style = numbers.style_of(own | {key: decides[key] for key in ("comma", "point")}, "")
    return style, style.doubt if decides is own else ""
