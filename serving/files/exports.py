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
from tempfile import TemporaryFile
from typing import Any, Literal, TypeVar

from core import files
from core.errors import PatronError
from decisions.reasons import Language
from serving.files.cells import IDS, Cell, row_cells
from serving.files.layouts import FIELDS, SHEET_ROWS, ExportLayout, find_layout
from serving.files.spreadsheet import exact_id, inert, number, quoted
from serving.files.workbook import write_workbook

Kind = Literal["ndjson", "csv", "xlsx"]
MEDIA_TYPES: Mapping[Kind, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_ROWS_PER_CHUNK = 200
_BYTES_PER_CHUNK = 1 << 18
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
        return MEDIA_TYPES[kind], _workbook(layout.headers(language), cells, layout)
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
    limits = [mb for mb in (max_mb, layout.max_mb if layout else None) if mb is not None]
    max_bytes = int(min(limits) * 1_000_000) if limits else None
    paths: list[Path] = []
    with ExitStack() as drafts:

        def draft() -> Path:
            paths.append(out.with_stem(f"{out.stem}-{len(paths) + 1}") if paths else out)
            return drafts.enter_context(files.replacing(paths[-1]))

        if layout is None:
            _write_texts(draft, "", _lines_of_json(rows), None, max_bytes)
        elif out.suffix == ".xlsx":
            headers, cells = layout.headers(language), map(row_cells(layout, language, zone), rows)
            most = min(layout.max_rows or SHEET_ROWS, SHEET_ROWS)
            for part in _split(cells, _size, most, max_bytes, _size(headers)):
                with open(draft(), "wb") as file:
                    write_workbook(file, headers, part, layout)
        else:
            head = ("\ufeff" if layout.bom else "") + _header(layout, language)
            lines = map(_line(layout), map(row_cells(layout, language, zone), rows))
            _write_texts(draft, head, lines, layout.max_rows, max_bytes)
    return paths


def _write_texts(
    draft: Callable[[], Path], head: str, lines: Iterator[str], max_rows: int | None, max_bytes: int | None
) -> None:
    for part in _split(lines, _bytes, max_rows, max_bytes, _bytes(head)):
        with open(draft(), "wb") as file:
            file.writelines(_chunks(_in_order(head, part)))


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


def _workbook(
    headers: Sequence[str], cells: Iterator[Sequence[Cell]], layout: ExportLayout
) -> Iterator[bytes]:
    with TemporaryFile() as file:
        write_workbook(file, headers, cells, layout)
        file.seek(0)
        while chunk := file.read(_BYTES_PER_CHUNK):
            yield chunk


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
            if layout.time == "unix_ms":
                return str(int(cell.timestamp() * 1000))
            return quoted(cell.strftime(layout.time))
        if isinstance(cell, Decimal):
            return number(cell)
        return quoted(identifier(cell) if is_id else inert(cell))

    return lambda cells: layout.delimiter.join(map(text, cells, is_id)) + "\r\n"
