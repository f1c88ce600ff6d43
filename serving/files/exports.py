"""Rows of recommendations → files that people, spreadsheets and CRMs can open, in constant memory.

``layouts.py`` says how each reader wants its file, ``cells.py`` what stands in a cell; ``spreadsheet.py``
and ``workbook.py`` write the cells of a CSV and of a workbook.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from core import files
from core.errors import PatronError
from decisions.reasons import Language
from serving.files.cells import IDS, Cell, row_cells
from serving.files.layouts import FIELDS, SHEET_ROWS, UNIX_MS, ExportLayout, find_layout
from serving.files.spreadsheet import exact_id, inert, number, quoted
from serving.files.workbook import workbook_chunks
from serving.files.writing import zipped

Kind = Literal["ndjson", "csv", "xlsx"]
MEDIA_TYPES: Mapping[Kind, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
ZIP = "application/zip"
_ROWS_PER_CHUNK = 200
# Ends of lines to some readers of text, though not to JSON.
_LINE_ENDS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}
Rows = Iterable[Mapping[str, Any]]
T = TypeVar("T")


def stream(
    rows: Rows,
    kind: Kind,
    language: Language,
    target: str | None = None,
    *,
    own: Path | None = None,
    zone: str = "UTC",
) -> tuple[str, Iterator[bytes]]:
    """A file of rows, in pieces.

    Args:
        rows: each with all of ``FIELDS``; any may be None, ``decided_at`` and ``send_at`` are aware
            datetimes.
        kind: ``ndjson`` is for programs: every field and code as it is. ``csv`` and ``xlsx`` have a layout.
        language: of headers, of how a choice was made, and of the names of segments and channels.
        target: the CRM that the file is for; a spreadsheet for None.
        own: a file of layouts of the user's, in place of the one that comes with Patron.
        zone: the shop's time zone.

    Returns:
        The media type, and the chunks.

    Raises:
        PatronError: there is no such target, or the file of layouts is wrong; before any chunk.
    """
    if kind == "ndjson":
        if target is not None:
            raise PatronError(f"{target} imports CSV, not NDJSON; ask for csv, or name no target")
        return MEDIA_TYPES[kind], _chunks(_lines_of_json(rows))
    layout = find_layout(target, own)
    cells = map(row_cells(layout, language, zone), rows)
    if kind == "xlsx":
        headers, milliseconds = layout.headers(language), layout.time == UNIX_MS
        return MEDIA_TYPES[kind], workbook_chunks(headers, cells, milliseconds=milliseconds)
    mark = "\ufeff" if layout.bom else ""
    header, lines = _header(layout, language), map(_line(layout), cells)
    return MEDIA_TYPES[kind], _chunks(_in_order(mark + header, lines))


def write_files(
    rows: Rows,
    out: Path,
    language: Language,
    layout: ExportLayout | None,
    zone: str,
    max_mb: float | None = None,
) -> list[Path]:
    """Write rows into a .csv, .xlsx or .ndjson file, and into more where the size of one is limited.

    The further files are named after the first: ``actions.csv``, ``actions-2.csv``, ``actions-3.csv``. All
    of them appear at the end, or none. The bytes of a workbook are counted before its compression.

    Args:
        layout: of a .csv or .xlsx; it may limit rows and bytes. max_mb: a further limit, in 1,000,000 bytes.

    Returns:
        The files, in the order of the rows.
    """
    kind = cast(Kind, out.suffix.removeprefix("."))
    paths: list[Path] = []
    with ExitStack() as drafts:
        for chunks in _divided(rows, kind, language, layout, zone, max_mb):
            paths.append(out.with_name(part_name(out.stem, len(paths) + 1, kind)))
            with open(drafts.enter_context(files.replacing(paths[-1])), "wb") as file:
                file.writelines(chunks)
    return paths


def stream_archive(
    rows: Rows, kind: Kind, language: Language, target: str | None, zone: str, stem: str
) -> Iterator[bytes]:
    """A .zip, in pieces, of the files into which the limits of a program's import divide the rows.

    Args:
        kind: ``csv`` or ``xlsx``. target: the CRM that the files are for; a spreadsheet for None.
        stem: the name of the first file without its ending; see :func:`write_files`.

    Raises:
        PatronError: there is no such target; before any chunk.
    """
    parts = _divided(rows, kind, language, find_layout(target), zone)
    return zipped((part_name(stem, i, kind), chunks) for i, chunks in enumerate(parts, 1))


def part_name(stem: str, part: int, kind: Kind) -> str:
    """The name of a file of several: ``actions.csv``, ``actions-2.csv``, ``actions-3.csv``."""
    return f"{stem}-{part}.{kind}" if part > 1 else f"{stem}.{kind}"


def _divided(
    rows: Rows,
    kind: Kind,
    language: Language,
    layout: ExportLayout | None,
    zone: str,
    max_mb: float | None = None,
) -> Iterator[Iterator[bytes]]:
    """The files of the rows, at least one, each in pieces and to be read to its end before the next."""
    limits = [mb for mb in (max_mb, layout.max_mb if layout else None) if mb is not None]
    max_bytes = int(min(limits) * 1_000_000) if limits else None
    if layout is None:
        for lines in _split(_lines_of_json(rows), _bytes, None, max_bytes, 0):
            yield _chunks(lines)
        return
    cells = map(row_cells(layout, language, zone), rows)
    if kind == "xlsx":
        headers, most = layout.headers(language), min(layout.max_rows or SHEET_ROWS, SHEET_ROWS)
        for part in _split(cells, _size, most, max_bytes, _size(headers)):
            yield workbook_chunks(headers, part, milliseconds=layout.time == UNIX_MS)
        return
    head = ("\ufeff" if layout.bom else "") + _header(layout, language)
    for lines in _split(map(_line(layout), cells), _bytes, layout.max_rows, max_bytes, _bytes(head)):
        yield _chunks(_in_order(head, lines))


def _split(
    items: Iterator[T], size: Callable[[T], int], max_items: int | None, max_bytes: int | None, first: int
) -> Iterator[Iterator[T]]:
    """The items in parts, of which each must be read to its end before the next; at least one part.

    Args:
        first: the bytes that each part has before its items.
    """
    following = list(islice(items, 1))

    def part() -> Iterator[T]:
        count, total = 0, first
        while following:
            total += size(following[0])
            full = count == max_items or (max_bytes is not None and total > max_bytes)
            if count and full:
                return
            yield following.pop()
            count += 1
            following.extend(islice(items, 1))

    yield part()
    while following:
        yield part()


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _size(cells: Sequence[Cell]) -> int:
    return sum(_bytes(str(cell)) for cell in cells if cell is not None)


def _in_order(first: str, lines: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from lines


def _chunks(lines: Iterator[str]) -> Iterator[bytes]:
    # A lone surrogate, which JSON can bring in, has no UTF-8; it must not break off a file half-way.
    while chunk := "".join(islice(lines, _ROWS_PER_CHUNK)):
        yield chunk.encode("utf-8", "replace")


def _lines_of_json(rows: Rows) -> Iterator[str]:
    for row in rows:
        text = json.dumps({f: _jsonable(row[f]) for f in FIELDS}, ensure_ascii=False, allow_nan=False)
        yield text.translate(_LINE_ENDS) + "\n"


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real | Decimal):
        return float(value) if number(value) else None
    return value if value is None else str(value)


def _header(layout: ExportLayout, language: Language) -> str:
    return layout.delimiter.join(quoted(inert(h)) for h in layout.headers(language)) + "\r\n"


def _line(layout: ExportLayout) -> Callable[[Sequence[Cell]], str]:
    """A function from cells to their line in a CSV."""
    is_id = [name in IDS for name in layout.columns]
    identifier = exact_id if layout.ids == "spreadsheet" else str

    def text(cell: Cell, is_id: bool) -> str:
        if cell is None:
            return ""
        if isinstance(cell, datetime):
            if layout.time == UNIX_MS:
                return str(int(cell.timestamp() * 1000))
            return quoted(cell.strftime(layout.time))
        if isinstance(cell, Decimal):
            return number(cell)
        return quoted(identifier(cell) if is_id else inert(cell))

    return lambda cells: layout.delimiter.join(map(text, cells, is_id)) + "\r\n"
