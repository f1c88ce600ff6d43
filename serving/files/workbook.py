"""Excel workbooks of rows of cells, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, islice
from typing import IO

import xlsxwriter

from serving.files.cells import Cell
from serving.files.layouts import SHEET_ROWS, ExportLayout

_MAX_TEXT = 32_767  # characters of a cell


def write_workbook(
    file: IO[bytes], headers: Sequence[str], rows: Iterable[Sequence[Cell]], layout: ExportLayout
) -> None:
    """Write a workbook with the header and the rows; a sheet that is full continues on another.

    Ids and texts are cells of text, so nothing is a formula and no digit of an id is lost; times are dates of
    the workbook, or milliseconds where the layout wants these. Source of the limits: Microsoft, "Excel
    specifications and limits" (1,048,576 rows, 32,767 characters).
    """
    remaining = iter(rows)
    book = xlsxwriter.Workbook(
        file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    )
    styles = {
        "header": book.add_format({"bold": True}),
        "time": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
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
                    _write(sheet, i, column, cell, layout, styles)
            following = list(islice(remaining, 1))
            if not following:
                return


def _write(
    sheet: xlsxwriter.worksheet.Worksheet,
    row: int,
    column: int,
    cell: Cell,
    layout: ExportLayout,
    styles: dict[str, xlsxwriter.format.Format],
) -> None:
    if cell is None:
        return
    if isinstance(cell, Decimal):
        sheet.write_number(row, column, float(cell))
    elif isinstance(cell, datetime):
        if layout.time == "unix_ms":
            sheet.write_number(row, column, int(cell.astimezone(UTC).timestamp() * 1000))
        else:
            sheet.write_datetime(row, column, cell.replace(tzinfo=None, microsecond=0), styles["time"])
    else:
        sheet.write_string(row, column, _text(cell), styles["text"])


def _text(text: str) -> str:
    # A lone surrogate has no UTF-8, of which the file consists.
    return text[:_MAX_TEXT].encode("utf-8", "replace").decode()
