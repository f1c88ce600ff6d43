"""The header among the first rows of a table, and the names of its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median

MIN_SHARE = 0.75
"""Cells that a header fills, of those that the rows below it fill."""
SAMPLE_ROWS = 200
_DATA = re.compile(r"[-+(]?[€$£¥]?\s?\d[\d.,\s/:T+-]*\)?")  # numbers and dates


def header_index(rows: Sequence[Sequence[str]]) -> int:
    """The index of the header: the first row that fills almost as many cells as the rows below it do."""
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows[:SAMPLE_ROWS]]
    for index, count in enumerate(filled):
        below = [n for n in filled[index + 1 :] if n]
        if count and count >= MIN_SHARE * median(below or [1]):
            return index
    return 0


def is_header(row: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a row names the columns of the rows below it.

    It does not where it has numbers or dates, all of them in columns of numbers or dates, and each of those
    columns has one. Numbers that count up, such as years, are names.
    """
    cells = [cell.strip() for cell in row]
    numbers = {i for i, cell in enumerate(cells) if _DATA.fullmatch(cell)}
    in_numbers = {i for i, cell in enumerate(cells) if cell and _holds_numbers(i, below)}
    return not numbers or numbers != in_numbers or _counts_up([cells[i] for i in sorted(numbers)])


def _holds_numbers(column: int, rows: Sequence[Sequence[str]]) -> bool:
    """Whether most filled cells of a column are numbers or dates."""
    cells = [row[column].strip() for row in rows[:SAMPLE_ROWS] if len(row) > column and row[column].strip()]
    return 2 * sum(bool(_DATA.fullmatch(cell)) for cell in cells) > len(cells)


def _counts_up(cells: Sequence[str]) -> bool:
    """Whether cells are whole numbers, each one more than the one before it; one alone is a year."""
    if not all(cell.isdecimal() for cell in cells):
        return False
    values = [int(cell) for cell in cells]
    return values == list(range(values[0], values[0] + len(values))) and (
        len(values) > 1 or 1900 <= values[0] <= 2100
    )


def width(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """The number of columns: of the header, or of most rows below it if those are longer."""
    lengths = Counter(len(row) for row in rows if row)
    return max(len(header), max(lengths, key=lengths.__getitem__, default=0))


def column_names(header: Sequence[str], columns: int) -> tuple[str, ...]:
    """A name for each column, each different even where case is ignored.

    An empty name becomes ``columnN`` by its position from 0; a repeated one gets ``_1``, ``_2`` ...

    >>> column_names(["id", "ID", ""], 4)
    ('id', 'ID_1', 'column2', 'column3')
    """
    names: list[str] = []
    taken: set[str] = set()
    for index in range(columns):
        text = header[index].replace("\0", "").strip().lstrip("\ufeff") if index < len(header) else ""
        base = name = text or f"column{index:0{len(str(columns - 1))}}"
        number = 0
        while name.lower() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.lower())
        names.append(name)
    return tuple(names)
