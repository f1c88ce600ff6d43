"""Quotes that a text file opens and never closes, which would make one cell of all rows below them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from core.errors import PatronError

MAX_LINES = 20
"""Lines with such a quote that are read without their quotes; more are refused."""
_CHUNK = 1 << 20


def close_quotes(path: Path, select: Callable[[Path], str], folder: Path) -> tuple[Path, int]:
    """A file, or a copy in which the lines that open a quote and do not close it have no quotes.

    Args:
        path: a file in UTF-8.
        select: the SQL that reads a file, and stores what it rejects.

    Returns:
        The path, and the number of lines that were changed.

    Raises:
        PatronError: there are more than ``MAX_LINES``.
    """
    if not _ends_lines_in_quotes(path):
        return path, 0
    changed: list[int] = []
    original = path
    while (position := _first_torn(select(path))) is not None and position not in changed:
        if len(changed) == MAX_LINES:
            raise PatronError(
                f'{original}: more than {MAX_LINES} lines have a quote that is not closed, as in 5" pipe;'
                " export the file anew with quotes that are doubled in cells; nothing was read"
            )
        changed.append(position)
        copy = folder / f"quotes-{len(changed) % 2}.csv"
        _copy_without_quotes(path, position, copy)
        path = copy
    return path, len(changed)


def _ends_lines_in_quotes(path: Path) -> bool:
    """Whether some line ends within quotes: in a cell of several lines, or after an open quote."""
    with open(path, "rb") as opened:
        return any(line.count(b'"') % 2 for line in opened)


def _first_torn(select: str) -> int | None:
    """Where the first rejected row of several lines begins, in bytes from 0."""
    with duckdb.connect() as connection:
        connection.execute(f"SELECT count(COLUMNS(*)) FROM ({select})").fetchall()
        row = connection.execute(
            "SELECT min(line_byte_position) FROM reject_errors"
            " WHERE contains(trim(csv_line, chr(13) || chr(10)), chr(10))"
        ).fetchone()
    return None if row is None or row[0] is None else int(row[0]) - 1


def _copy_without_quotes(path: Path, position: int, copy: Path) -> None:
    """Copy a file without the quotes of the line that begins at a position; the length stays."""
    with open(path, "rb") as source, open(copy, "wb") as written:
        for _ in range(position // _CHUNK):
            written.write(source.read(_CHUNK))
        written.write(source.read(position % _CHUNK))
        line = source.readline()
        if line == b"\n":  # of lines that end in \r\n the position is that of the end before
            written.write(line)
            line = source.readline()
        written.write(line.replace(b'"', b" "))
        while chunk := source.read(_CHUNK):
            written.write(chunk)
