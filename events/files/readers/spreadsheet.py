"""Spreadsheets (.xlsx, .xls, .xlsb, .ods): the values that their cells show, as texts."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import duckdb

from core.errors import PatronError
from events.files.mapping import FileSection
from events.files.readers import archives, formulas, headers
from events.files.readers.source import Source, load_rows, without_blank_rows

_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def open_spreadsheet(
    connection: duckdb.DuckDBPyConnection, path: Path, file: FileSection, limit: int | None, max_unpacked: int
) -> Source:
    """Read the sheet that ``file`` names, or the first that holds a table, into a DuckDB table.

    Formulas count as the values that were saved with them. A cell that is merged downwards counts in each of
    its rows.

    Args:
        limit: how many rows to read at most.
        max_unpacked: bytes that the workbook may unpack to.

    Raises:
        PatronError: it is protected by a password, damaged or too large, or has no such sheet or no table.
    """
    import python_calamine as calamine

    if _is_encrypted(path):
        raise PatronError(
            f"{path}: this workbook is protected by a password; save a copy without one; nothing was read"
        )
    try:
        if zipfile.is_zipfile(path):
            archives.check_workbook(path, max_unpacked)
        workbook = calamine.CalamineWorkbook.from_path(str(path))
        sheet, rows = _sheet(workbook, path, file.sheet)
    except calamine.PasswordError as error:
        raise PatronError(
            f"{path}: this workbook is protected by a password; save a copy without one"
        ) from error
    except (calamine.CalamineError, zipfile.BadZipFile, OSError) as error:
        raise PatronError(f"{path}: this is not a workbook, or it is damaged; nothing was read") from error
    index = (
        file.skip_lines if file.skip_lines is not None else headers.header_index(rows[: headers.SAMPLE_ROWS])
    )
    header, below = rows[index], rows[index + 1 :]
    sample = below[: headers.SAMPLE_ROWS]
    has_header = headers.is_header(header, sample) if file.header is None else file.header
    names = headers.column_names(header if has_header else [], headers.width(header, sample))
    below = below if has_header else rows[index:]
    padded = ([*row[: len(names)], *[""] * (len(names) - len(row))] for row in below)
    load_rows(connection, "sheet_rows", names, padded, limit)
    others = [name for name in workbook.sheet_names if name != sheet]
    notes = formulas.notes(path, sheet)
    if others and file.sheet is None:
        notes.append(f"the sheet {sheet!r} was read; there are also {', '.join(map(repr, others[:9]))}")
    return Source(
        names,
        without_blank_rows(connection.table("sheet_rows"), names),
        f"spreadsheet, sheet {sheet!r}",
        file.model_copy(update={"sheet": sheet, "skip_lines": index, "header": has_header}),
        tuple(notes),
    )


def _is_encrypted(path: Path) -> bool:
    """Whether it is a workbook of today in a container of old, which holds what a password protects."""
    with open(path, "rb") as opened:
        return opened.read(4) == b"\xd0\xcf\x11\xe0" and _ENCRYPTED in opened.read()


def _sheet(workbook: Any, path: Path, wanted: str | None) -> tuple[str, list[list[str]]]:
    """The name and the rows of the sheet to read."""
    if wanted is not None and wanted not in workbook.sheet_names:
        raise PatronError(
            f"{path}: there is no sheet {wanted!r}; it has {', '.join(map(repr, workbook.sheet_names))}"
        )
    for name in workbook.sheet_names if wanted is None else [wanted]:
        rows = list(_rows(workbook.get_sheet_by_name(name)))
        if sum(any(row) for row in rows) > 1 and max(map(len, rows)) > 1:
            return name, rows
    raise PatronError(f"{path}: no sheet holds a table: column names and a row below them; nothing was read")


def _rows(sheet: Any) -> Iterator[list[str]]:
    """The rows of a sheet as texts, from its first row on."""
    merged = {
        (below, left): top
        for (top, left), (bottom, _) in sheet.merged_cell_ranges or ()
        for below in range(top + 1, bottom + 1)
    }
    values: dict[tuple[int, int], str] = {}
    tops = {(top, column) for (_, column), top in merged.items()}
    columns = {column for _, column in merged}
    for number, cells in enumerate(sheet.to_python(skip_empty_area=False)):
        row = [_text(cell) for cell in cells]
        for column in columns:
            if (number, column) in tops:
                values[number, column] = row[column]
            elif (number, column) in merged:
                row[column] = values[merged[number, column], column]
        yield row


def _text(value: Any) -> str:
    """A cell's value as the text that a CSV file would hold; dates are ISO 8601, numbers exact."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime():
            return value.isoformat(sep=" ", timespec="auto")
        case date() | time():
            return value.isoformat()
        case None:
            return ""
        case _:
            return str(value)
