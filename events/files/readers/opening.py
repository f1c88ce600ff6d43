"""The one way in: what kind of file is there is decided by its content, and read by that kind's reader."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from core.errors import PatronError
from core.storage import sql
from events.files.mapping import FileSection
from events.files.readers import archives, database, json_lines, spreadsheet, text
from events.files.readers.source import ROW_NUMBER, Source

_HEAD_BYTES = 4096
_INNER = "within"
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
            yield _open_unpacked(connection, path, file, Path(folder), limit)
    except duckdb.Error as error:
        raise PatronError(
            f"{database.described(place, table)}: this cannot be read as a table, or it is damaged"
            f" ({first_line(error)}); nothing was read"
        ) from error


def first_line(error: Exception) -> str:
    """The beginning of a DuckDB error, without what it quotes, which may be of a customer's row."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"'.*'|\".*\"", "...", line)[:150]


def _open_unpacked(
    connection: duckdb.DuckDBPyConnection, path: Path, file: FileSection, folder: Path, limit: int | None
) -> Source:
    """Open a file, or what is in it where it is compressed; errors name the file and what is in it."""
    reading = _Reading(connection, file, limit, archives.max_unpacked(path))
    try:
        return _open(reading, path, folder)
    except PatronError as error:
        inner = re.escape(str(folder)) + rf"(/{_INNER})*/"
        raise PatronError(re.sub(inner, lambda _: f"{path}: ", str(error))) from error


@dataclass(frozen=True)
class _Reading:
    """What does not change on the way from an archive to the file in it.

    Attributes:
        limit: how many rows will be read at most.
        max_unpacked: bytes that all archives may unpack to.
    """

    connection: duckdb.DuckDBPyConnection
    file: FileSection
    limit: int | None
    max_unpacked: int


def _open(reading: _Reading, path: Path, folder: Path) -> Source:
    connection, file, limit = reading.connection, reading.file, reading.limit
    with open(path, "rb") as opened:
        head = opened.read(_HEAD_BYTES)
    if not head.strip():
        raise PatronError(f"{path}: the file is empty; nothing was read")
    if head.startswith(b"\x1f\x8b"):
        return _open(reading, archives.unpack_gzip(path, folder, reading.max_unpacked), _inner(path, folder))
    if head.startswith(b"PK\x03\x04") and not _is_workbook(path):
        return _open(reading, archives.unpack_zip(path, folder, reading.max_unpacked), _inner(path, folder))
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return spreadsheet.open_spreadsheet(connection, path, file, limit, reading.max_unpacked)
    if head.startswith(b"PAR1"):
        return _parquet(connection, path, file)
    _refuse_others(path, head.removeprefix(b"\xef\xbb\xbf"))
    if _JSON.match(head.removeprefix(b"\xef\xbb\xbf")):
        return json_lines.open_json(connection, path, file, folder, limit)
    return text.open_text(connection, path, file, folder)


def _inner(path: Path, folder: Path) -> Path:
    """A folder for what stands in an unpacked file; archives within archives stop at the third."""
    inner = folder / _INNER
    if len([part for part in inner.parts if part == _INNER]) > 2:
        raise PatronError(
            f"{path}: an archive within an archive within an archive; unpack it; nothing was read"
        )
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
