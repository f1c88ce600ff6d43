"""Tables of pages as files."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from starlette.responses import Response

from console.page import PageTable, TableColumn
from console.words.messages import Translator
from console.words.sentences import sentence
from serving.files import tables
from serving.files.streaming import stream_file

KINDS = ("csv", "xlsx")
_TYPES = dict.fromkeys(("number", "change", "measure", "money", "percent"), pa.float64())


def export(table: PageTable, kind: str, words: Translator, name: str) -> Response:
    """A table as a file with the page's headings; numbers are numbers, and percentages shares.

    Args:
        kind: one of :data:`KINDS`. name: of the file, without its suffix.
    """
    columns = {
        column.heading or words(column.title): _values(table, column, words) for column in table.columns
    }
    chunks = tables.encoded(iter([pa.table(columns)]), "xlsx" if kind == "xlsx" else "csv", words.zone)
    media_type = tables.MEDIA_TYPES["xlsx" if kind == "xlsx" else "csv"]
    return stream_file(chunks, media_type, f"{name}.{kind}")


def _values(table: PageTable, column: TableColumn, words: Translator) -> pa.Array:
    values: list[Any] = [row.get(column.name) for row in table.rows]
    if column.kind in _TYPES:
        return pa.array([None if v is None or v != v else float(v) for v in values], pa.float64())
    if column.kind in ("day", "moment"):
        values = [None if value is None else words.text(column.kind, value) for value in values]
    if column.kind == "prose":
        values = [None if value is None else sentence(words, value) for value in values]
    return pa.array([None if value is None else str(value) for value in values], pa.string())
