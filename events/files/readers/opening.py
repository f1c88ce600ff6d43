"""The one way in: what kind of file is there is decided by its content, and read by that kind's reader."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from core.errors import PatronError
from core.storage import sql
from events.files.mapping import FileSection
from events.files.readers import archives, database, json_lines, spreadsheet, text
from events.files.readers.source import ROW_NUMBER, Source

_HEAD_BYTES = 4096
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype html|html|head|body|table|script|meta|div)", re.I | re.S)
_XML = re.compile(rb"\s*<\?xml", re.I)
_JSON = re.compile(rb"\s*(\{\s*[\"}]|\[\s*\{)")
_WORKBOOK_PARTS = ("[Content_Types].xml", "mimetype")  # of Office and of Open Document


@contextmanager
def open_source(
    connection: duckdb.DuckDBPyConnection,
    place: str,
    file: FileSection,
    table: str | None = None,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
) -> Iterator[Source]:
    """Open a file or a database's table; the relation can be read until the block ends.

    Files: delimited text, NDJSON, JSON, Parquet, spreadsheets, and any of them in a .gz or a .zip.

    Args:
        place: a path, or an SQLAlchemy URL.
        table: the database's table.
        columns: those that will be read; of others a database copies short texts of the first.
        limit: how many rows will be read at most; of a database or a spreadsheet no more are copied.

    Raises:
        PatronError: there is no table that can be read; says what is there instead.
    """
    try:
        if database.is_database(place):
            yield database.open_database(connection, place, table, file, columns, limit)
            return
        path = Path(place)
        if not path.is_file():
            raise PatronError(f"{place}: there is no such file")
        with tempfile.TemporaryDirectory(prefix="patron-reading-") as folder:
            yield _open(connection, path, file, Path(folder), limit)
    except duckdb.Error as error:
        raise PatronError(
            f"{database.described(place, table)}: this cannot be read as a table, or it is damaged"
            f" ({first_line(error)}); nothing was read"
        ) from error


def first_line(error: Exception) -> str:
    """The beginning of a DuckDB error; what it quotes of the file is on other lines."""
    return (str(error).splitlines() or [type(error).__name__])[0][:150]


def _open(
    connection: duckdb.DuckDBPyConnection, path: Path, file: FileSection, folder: Path, limit: int | None
) -> Source:
    with open(path, "rb") as opened:
        head = opened.read(_HEAD_BYTES)
    if not head.strip():
        raise PatronError(f"{path}: the file is empty; nothing was read")
    if head.startswith(b"\x1f\x8b"):
        return _open(connection, archives.unpack_gzip(path, folder), file, _inner(folder), limit)
    if head.startswith(b"PK\x03\x04") and not _is_workbook(path):
        return _open(connection, archives.unpack_zip(path, folder), file, _inner(folder), limit)
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return spreadsheet.open_spreadsheet(connection, path, file, limit)
    if head.startswith(b"PAR1"):
        return _parquet(connection, path, file)
    _refuse_others(path, head.removeprefix(b"\xef\xbb\xbf"))
    if _JSON.match(head.removeprefix(b"\xef\xbb\xbf")):
        return json_lines.open_json(connection, path, file, folder, limit)
    return text.open_text(connection, path, file, folder)


def _inner(folder: Path) -> Path:
    """A folder for what stands in an unpacked file; archives within archives stop at the third."""
    inner = folder / "inner"
    if len([part for part in inner.parts if part == "inner"]) > 2:
        raise PatronError("an archive within an archive within an archive; unpack it; nothing was read")
    inner.mkdir()
    return inner


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile:
        return path.suffix.lower() in (".xlsx", ".xlsm", ".xlsb", ".ods")
    return bool(names & set(_WORKBOOK_PARTS))


def _refuse_others(path: Path, head: bytes) -> None:
    """Refuse what is neither a table nor text, by its first bytes."""
    if _HTML.match(head):
        raise PatronError(
            f"{path}: this is an HTML page and not a table, such as a login page that was saved in"
            " place of the export; download the file anew, as CSV or .xlsx; nothing was read"
        )
    if _XML.match(head):
        raise PatronError(f"{path}: this is XML; save the table as CSV or .xlsx; nothing was read")
    if head.startswith(b"%PDF"):
        raise PatronError(f"{path}: this is a PDF; export the table as CSV or .xlsx; nothing was read")
    if path.suffix.lower() == ".parquet":
        raise PatronError(f"{path}: this is not a Parquet file, or it is damaged; nothing was read")
    if path.suffix.lower() in (".xlsx", ".xlsm", ".xlsb", ".ods"):
        raise PatronError(f"{path}: this is not a workbook, or it is damaged; nothing was read")


def _parquet(connection: duckdb.DuckDBPyConnection, path: Path, file: FileSection) -> Source:
    try:
        relation = connection.from_parquet(str(path), file_row_number=True)
    except duckdb.Error as error:
        raise PatronError(
            f"{path}: this is not a Parquet file, or it is damaged; nothing was read"
        ) from error
    names = tuple(name for name in relation.columns if name != "file_row_number")
    numbered = relation.project(f"file_row_number + 1 AS {sql.name(ROW_NUMBER)}, * EXCLUDE (file_row_number)")
    return Source(names, numbered, "Parquet", file)
