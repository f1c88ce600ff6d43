"""Excel workbooks of rows of cells, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain, islice
from tempfile import TemporaryFile
from typing import IO, TypeAlias

import xlsxwriter

from serving.files.layouts import SHEET_ROWS

SheetCell: TypeAlias = str | bool | int | float | Decimal | datetime | date | None
_MAX_TEXT = 32_767  # characters of a cell
_BYTES_PER_CHUNK = 1 << 18


def workbook_chunks(
    headers: Sequence[str], rows: Iterable[Sequence[SheetCell]], *, milliseconds: bool = False
) -> Iterator[bytes]:
    """A workbook in pieces; arguments as for :func:`write_workbook`."""
    with TemporaryFile() as file:
        write_workbook(file, headers, rows, milliseconds=milliseconds)
        file.seek(0)
        while chunk := file.read(_BYTES_PER_CHUNK):
            yield chunk


def write_workbook(
    file: IO[bytes],
    headers: Sequence[str],
    rows: Iterable[Sequence[SheetCell]],
    *,
    milliseconds: bool = False,
) -> None:
    """Write a workbook with the header and the rows; a sheet that is full continues on another.

    Ids and texts are cells of text, so nothing is a formula and no digit of an id is lost; times are dates of
    the workbook, as the clock of their zone shows them. Numbers have 16 digits; those that are not finite
    leave their cells empty. Source of the limits: Microsoft, "Excel specifications and limits"
    (1,048,576 rows, 32,767 characters).

    Args:
        milliseconds: whether times are numbers, in milliseconds since 1970, instead.
    """
    remaining = iter(rows)
    book = xlsxwriter.Workbook(
        file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    )
    styles = {
        "header": book.add_format({"bold": True}),
        "time": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
        "date": book.add_format({"num_format": "yyyy-mm-dd"}),
        "text": book.add_format({"num_format": "@"}),
    }
    with book:
        following = list(islice(remaining, 1))
        while True:
            sheet = book.add_worksheet()
            sheet.freeze_panes(1, 0)
            for column, header in enumerate(headers):
                sheet.set_column(column, column, max(12, min(len(header) + 2, 40)))
                sheet.write_string(0, column, _text(header), styles["header"])
            for i, row in enumerate(islice(chain(following, remaining), SHEET_ROWS), 1):
                for column, cell in enumerate(row):
                    _write(sheet, i, column, cell, styles, milliseconds)
            following = list(islice(remaining, 1))
            if not following:
                return


def _write(
    sheet: xlsxwriter.worksheet.Worksheet,
    row: int,
    column: int,
    cell: SheetCell,
    styles: dict[str, xlsxwriter.format.Format],
    milliseconds: bool,
) -> None:
    if cell is None:
        return
    if isinstance(cell, bool):
        sheet.write_boolean(row, column, cell)
    elif isinstance(cell, int | float | Decimal):
        if math.isfinite(cell):
            sheet.write_number(row, column, float(cell))
    elif isinstance(cell, datetime):
        if milliseconds:
            sheet.write_number(row, column, int(cell.astimezone(UTC).timestamp() * 1000))
        else:
            sheet.write_datetime(row, column, cell.replace(tzinfo=None, microsecond=0), styles["time"])
    elif isinstance(cell, date):
        sheet.write_datetime(row, column, cell, styles["date"])
    else:
        sheet.write_string(row, column, _text(cell), styles["text"])


def _text(text: str) -> str:
    # A lone surrogate has no UTF-8, of which the file consists.
    return text[:_MAX_TEXT].encode("utf-8", "replace").decode()
