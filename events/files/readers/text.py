"""CSV and other delimited text files."""

from __future__ import annotations

from pathlib import Path

import duckdb

from core.errors import PatronError
from core.storage import sql
from events.files.mapping import FileSection
from events.files.readers import dialects, encodings, quotes
from events.files.readers.source import ROW_NUMBER, Source, without_blank_rows


def open_text(connection: duckdb.DuckDBPyConnection, path: Path, file: FileSection, folder: Path) -> Source:
    """Open a text file; a copy in UTF-8 is written to ``folder`` if it is in another encoding.

    Raises:
        PatronError: it is no text, not in the encoding that ``file`` names, or has no header.
    """
    encoding = file.encoding or encodings.detect(path)
    _refuse_binary(path, encoding)
    utf8, damaged, notes = _as_utf8(path, encoding, folder)
    dialect = dialects.detect(utf8, file.delimiter, file.skip_lines, file.header)
    if dialect.delimiter != dialects.WHITESPACE:
        utf8, opened = quotes.close_quotes(utf8, lambda copy: _select(copy, dialect), folder)
        if opened:
            notes.append(f"{opened:,} lines have a quote that is not closed; they were read without quotes")
    mark = " with a byte order mark" if encoding == "utf-8" and encodings.has_mark(path) else ""
    if encoding != "utf-8":
        notes.append(f"the file was read as {encoding}")
    if damaged:
        notes.append(f"{damaged:,} places are not {encoding}; each was read as \N{REPLACEMENT CHARACTER}")
    if dialect.skip_lines and file.skip_lines is None:
        notes.append(f"{dialect.skip_lines} lines above the table were skipped")
    return Source(
        dialect.names,
        _relation(connection, utf8, dialect),
        f"text in {encoding}{mark}, cells separated by {_word(dialect.delimiter)}",
        file.model_copy(
            update={
                "encoding": encoding,
                "delimiter": dialect.delimiter,
                "skip_lines": dialect.skip_lines,
                "header": dialect.header,
            }
        ),
        tuple(notes),
        has_rejects=True,
    )


def _as_utf8(path: Path, encoding: str, folder: Path) -> tuple[Path, int, list[str]]:
    """The file, or a copy that is valid UTF-8 with one kind of line end."""
    mixed = encoding == "utf-8" and mixes_line_ends(path)
    if encoding == "utf-8" and not mixed and encodings.decodes(path, encoding):
        return path, 0, []
    copy = folder / "utf-8.csv"
    damaged = encodings.transcode(path, encoding, copy)
    if mixed or mixes_line_ends(copy):
        encodings.transcode(path, encoding, copy, unix_ends=True)
        return copy, damaged, ["some lines end in \\r\\n and others in \\n; both were read as line ends"]
    return copy, damaged, []


def mixes_line_ends(path: Path) -> bool:
    r"""Whether some rows end in ``\\r\\n`` and some in ``\\n``; cells may hold either."""
    ends, quotes = set(), 0
    with open(path, "rb") as opened:
        for line in opened:
            quotes += line.count(b'"')
            if line.endswith(b"\n") and quotes % 2 == 0:
                ends.add(line.endswith(b"\r\n"))
            if len(ends) == 2:
                return True
    return False


def _refuse_binary(path: Path, encoding: str) -> None:
    with open(path, "rb") as opened:
        if b"\0" in opened.read(encodings.CHUNK_BYTES) and not encoding.lower().startswith(
            ("utf-16", "utf-32")
        ):
            raise PatronError(
                f"{path}: this is not a text file; save the table as CSV, .xlsx or Parquet; nothing was read"
            )


def _relation(
    connection: duckdb.DuckDBPyConnection, path: Path, dialect: dialects.Dialect
) -> duckdb.DuckDBPyRelation:
    if dialect.delimiter == dialects.WHITESPACE:
        return _whitespace(connection, path, dialect)
    return without_blank_rows(connection.sql(_select(path, dialect)), dialect.names)


def _select(path: Path, dialect: dialects.Dialect) -> str:
    """The SQL that reads the rows with their numbers, and stores those that it rejects."""
    columns = ", ".join(f"{sql.literal(name)}: 'VARCHAR'" for name in dialect.names)
    settings = (
        f"header = {dialect.header}, skip = {dialect.skip_lines}, store_rejects = true, rejects_limit = 0"
    )
    if dialect.pads:
        settings += ", null_padding = true, parallel = false"
    return (
        f"SELECT row_number() OVER () AS {sql.name(ROW_NUMBER)}, *"
        f" FROM read_csv({sql.literal(path)}, {settings},"
        f" auto_detect = false, columns = {{{columns}}}, delim = {sql.literal(dialect.delimiter)},"
        f" quote = '\"', escape = {sql.literal(dialect.escape)})"
    )


def _whitespace(
    connection: duckdb.DuckDBPyConnection, path: Path, dialect: dialects.Dialect
) -> duckdb.DuckDBPyRelation:
    """Columns separated by runs of blanks: every line is read whole and then taken apart."""
    cells = ", ".join(f"words[{i + 1}] AS {sql.name(name)}" for i, name in enumerate(dialect.names))
    return connection.sql(
        f"SELECT row_number() OVER () AS {sql.name(ROW_NUMBER)}, {cells} FROM (SELECT"
        f" regexp_split_to_array(trim(line), '\\s+') AS words FROM read_csv({sql.literal(path)},"
        " columns = {'line': 'VARCHAR'}, auto_detect = false, delim = '\x01', quote = '', escape = '',"
        f" header = false, skip = {dialect.skip_lines + dialect.header}, store_rejects = true))"
        " WHERE words[1] <> ''"
    )


def _word(delimiter: str) -> str:
    return {"\t": "tabs", dialects.WHITESPACE: "runs of blanks"}.get(delimiter, delimiter)
