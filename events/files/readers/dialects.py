"""How a text file separates its cells, and where its header is."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from core.errors import PatronError
from events.files.readers import headers

SAMPLE_CHARACTERS = 256 << 10
WHITESPACE = "whitespace"
_DELIMITERS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'^"?sep=(.)"?[;,\t|]*\r?\n', re.IGNORECASE)
_MIN_CONSISTENCY = 0.9  # share of rows of one width


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    Attributes:
        delimiter: between cells; ``whitespace`` for runs of blanks.
        escape: before a quote within quotes: another quote, or a backslash.
        skip_lines: lines above the header, or above the first row where there is none.
        header: whether a line names the columns.
        names: the columns, each different.
        pads: whether most rows leave out empty cells at their end.
    """

    delimiter: str
    escape: str
    skip_lines: int
    header: bool
    names: tuple[str, ...]
    pads: bool


@dataclass(frozen=True)
class _Parsed:
    rows: list[list[str]]
    starts: list[int]  # the lines above each row

    def width(self) -> tuple[int, float]:
        """The most common number of cells, and the share of rows that have it."""
        lengths = Counter(len(row) for row in self.rows if any(cell.strip() for cell in row))
        if not lengths:
            return 1, 0.0
        common, count = max(lengths.items(), key=lambda item: (item[1], item[0]))
        return common, count / lengths.total()


def detect(
    path: Path, delimiter: str | None, skip_lines: int | None, has_header: bool | None = None
) -> Dialect:
    """The dialect of a UTF-8 file, by its beginning.

    Args:
        delimiter: the delimiter if it is known.
        skip_lines: the lines above the header if that is known.
        has_header: whether a line names the columns if that is known.

    Raises:
        PatronError: there is no line that could name columns.
    """
    sample = _sample(path)
    stated = _SEPARATOR_LINE.match(sample)
    if stated and not skip_lines:
        delimiter, skip_lines = delimiter or stated[1], skip_lines or None
        rest, above = sample[stated.end() :], 1
    else:
        rest, above = sample, 0
    for _ in range(skip_lines or 0):
        rest = rest.partition("\n")[2]
    above += skip_lines or 0
    escape = "\\" if re.search(r'[^\\]\\"[^,;\t|\r\n]', rest) and '""' not in rest else '"'
    delimiter = delimiter or _delimiter(rest, escape)
    parsed = _parse(rest, delimiter, escape)
    if not parsed.rows:
        raise PatronError(f"{path.name}: there is no line that names columns; nothing was read")
    index = 0 if skip_lines is not None else headers.header_index(parsed.rows)
    header, below = parsed.rows[index], [row for row in parsed.rows[index + 1 :] if row]
    if has_header is None:
        has_header = headers.is_header(header, below)
    columns = headers.width(header, below)
    shorter = sum(len(row) < columns for row in below)
    return Dialect(
        delimiter, escape, above + parsed.starts[index], has_header,
        headers.column_names(header if has_header else [], columns), pads=2 * shorter > len(below),
    )  # fmt: skip


def _sample(path: Path) -> str:
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as opened:
        text = opened.read(SAMPLE_CHARACTERS)
    whole = len(text) < SAMPLE_CHARACTERS
    return text if whole else text[: text.rfind("\n") + 1] or text


def _delimiter(text: str, escape: str) -> str:
    """The delimiter that gives the most rows the same number of cells, and many."""
    scores = {}
    for delimiter in _DELIMITERS:
        columns, consistency = _parse(text, delimiter, escape).width()
        scores[delimiter] = consistency * (1 - 1 / columns)
    best = max(scores, key=scores.__getitem__)
    if scores[best] > 0:
        return best
    columns, consistency = _parse(text, WHITESPACE, escape).width()
    return WHITESPACE if columns > 2 and consistency > _MIN_CONSISTENCY else ","


def _parse(text: str, delimiter: str, escape: str) -> _Parsed:
    if delimiter == WHITESPACE:
        lines = text.splitlines()
        return _Parsed([line.split() for line in lines], list(range(len(lines))))
    doubled = escape == '"'
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, doublequote=doubled,
        escapechar=None if doubled else escape,
    )  # fmt: skip
    rows, starts, start = [], [], 0
    try:
        for row in reader:
            rows.append(row)
            starts.append(start)
            start = reader.line_num
    except csv.Error:  # a quote that is not closed: the rows before it are enough
        pass
    return _Parsed(rows, starts)
