"""Opening what is to be imported: CSV, Parquet or a database table, as the DuckDB table ``raw``.

``raw`` has ``row_number`` (from 1, in the file's order) and the mapped columns, each under the name
that :func:`raw_column` gives it, so that a file's ``Quantity`` is not taken for what was read of it.
DuckDB reads in a stream, so a file may be larger than memory.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

from core.errors import PatronError
from core.storage import sql
from events.files.mapping import FileSection

CHUNK_ROWS = 50_000
SAMPLE_BYTES = 4_000_000
# DuckDB reads such a file only where it may guess at rows that cannot be taken apart, too.
MIXED_ENDS = (
    "some lines end in \\r\\n and others in \\n; write them one way, such as by `sed -i 's/\\r$//' FILE`, and"
    " try again"
)


def is_database(place: str) -> bool:
    """Whether a place is an SQLAlchemy URL and not a file."""
    return "://" in place


def raw_column(name: str | None) -> str:
    """A mapped column of ``raw``, quoted for SQL."""
    return sql.name(f"raw {name}")


def open_raw(
    connection: duckdb.DuckDBPyConnection,
    place: str,
    file: FileSection,
    columns: Sequence[str],
    table: str | None = None,
) -> tuple[int, list[str]]:
    """Make ``raw`` of the columns asked for.

    Args:
        place: a .parquet file, any other file as CSV, or an SQLAlchemy URL.
        table: the database's table.

    Returns:
        How many lines could not be taken apart, and the columns that were left alone.

    Raises:
        PatronError: what is there cannot be read, or lacks a column; says which it has.
    """
    if is_database(place):
        return 0, _database(connection, place, table, columns)
    path = Path(place)
    if not path.is_file():
        raise PatronError(f"{place}: there is no such file")
    if path.stat().st_size == 0:
        raise PatronError(f"{place}: the file is empty; nothing was read")
    relation = scan(connection, path, file)
    ignored = _check_columns(place, relation.columns, columns)
    named = ", ".join(f"{sql.name(name)} AS {raw_column(name)}" for name in columns)
    number = "file_row_number + 1" if path.suffix == ".parquet" else "row_number() OVER ()"
    try:
        relation.project(f"{number} AS row_number, {named}").create("raw")
    except duckdb.Error as error:
        raise PatronError(_damaged(place, str(error))) from error
    if path.suffix == ".parquet":
        return 0, ignored
    rejected = connection.execute("SELECT count(DISTINCT line) FROM reject_errors").fetchone()
    if _all_wrong_encoding(connection):
        raise PatronError(_damaged(place, "not utf-8 encoded"))
    return (rejected or (0,))[0], ignored


def encoding_of(path: Path) -> Literal["utf-8", "latin-1", "utf-16"]:
    """The encoding of a text file, by its first bytes: what is not UTF-8 is taken for Latin-1."""
    with open(path, "rb") as opened:
        head = opened.read(SAMPLE_BYTES)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if path.suffix == ".parquet":
        return "utf-8"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def mixes_line_ends(path: Path) -> bool:
    """Whether some rows of a CSV end as Windows ends lines and some as Unix does; cells may hold either."""
    ends, quotes = set(), 0
    with open(path, "rb") as opened:
        for line in opened:
            quotes += line.count(b'"')
            if line.endswith(b"\n") and quotes % 2 == 0:
                ends.add(line.endswith(b"\r\n"))
            if len(ends) == 2:
                return True
    return False


def scan(connection: duckdb.DuckDBPyConnection, path: Path, file: FileSection) -> duckdb.DuckDBPyRelation:
    """A file as a relation; nothing but its beginning is read yet."""
    try:
        if path.suffix == ".parquet":
            return connection.from_parquet(str(path), file_row_number=True)
        if file.delimiter == "whitespace":
            return _whitespace(connection, path, file)
        delimiter = "" if file.delimiter is None else f", delim = {sql.literal(file.delimiter)}"
        return connection.sql(
            f"SELECT * FROM read_csv({sql.literal(str(path))}, all_varchar = true, header = true,"
            f" store_rejects = true, rejects_limit = 0, encoding = {sql.literal(file.encoding)}{delimiter})"
        )
    except duckdb.Error as error:
        raise PatronError(_damaged(str(path), str(error))) from error


def _whitespace(
    connection: duckdb.DuckDBPyConnection, path: Path, file: FileSection
) -> duckdb.DuckDBPyRelation:
    """Columns parted by runs of blanks: every line is read whole and then taken apart."""
    with open(path, encoding=file.encoding) as opened:
        header = opened.readline().split()
    if not header:
        raise PatronError(f"{path}: the first line must name the columns")
    parts = ", ".join(f"words[{i + 1}] AS {sql.name(name)}" for i, name in enumerate(header))
    return connection.sql(
        f"SELECT {parts} FROM (SELECT regexp_split_to_array(trim(line), '\\s+') AS words FROM read_csv("
        f"{sql.literal(str(path))}, columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '',"
        f" header = false, skip = 1, store_rejects = true, encoding = {sql.literal(file.encoding)}))"
        " WHERE words[1] <> ''"
    )


def _database(
    connection: duckdb.DuckDBPyConnection, url: str, table: str | None, columns: Sequence[str]
) -> list[str]:
    """Copy a table in chunks, so that it may be larger than memory."""
    import sqlalchemy as sa

    if table is None:
        raise PatronError("name the database's table with --table")
    try:
        engine = sa.create_engine(url)
        names = [column["name"] for column in sa.inspect(engine).get_columns(table)]
        ignored = _check_columns(f"table {table}", names, columns)
        query: Any = sa.select(*(sa.column(name) for name in columns)).select_from(sa.table(table))
        with engine.connect().execution_options(stream_results=True) as opened:
            texts = ", ".join(f"{raw_column(name)} VARCHAR" for name in columns)
            connection.execute(f"CREATE TABLE raw (row_number BIGINT, {texts})")
            number = 0
            for rows in opened.execute(query).partitions(CHUNK_ROWS):
                numbers = pa.array(range(number + 1, number + len(rows) + 1), "int64")
                parts = [pa.array(map(_text, part), "string") for part in zip(*rows, strict=True)]
                connection.register("chunk", pa.table([numbers, *parts], ["row_number", *columns]))
                connection.execute("INSERT INTO raw SELECT * FROM chunk")
                number += len(rows)
        if not number:
            raise PatronError(f"table {table} is empty; nothing was read")
    except (sa.exc.SQLAlchemyError, ModuleNotFoundError, ValueError) as error:
        # The error's own text may hold the URL and with it a password.
        raise PatronError(
            f"the database's table {table} cannot be read ({type(error).__name__}); see that the URL, the"
            " table's name and the database's Python driver are right"
        ) from error
    return ignored


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)


def _check_columns(place: str, names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    present = [name for name in names if name != "file_row_number"]
    missing = [name for name in wanted if name not in present]
    if missing:
        raise PatronError(f"{place}: there is no column {', '.join(missing)}; it has {', '.join(present)}")
    return [name for name in present if name not in wanted]


def _all_wrong_encoding(connection: duckdb.DuckDBPyConnection) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM reject_errors WHERE error_type = 'INVALID ENCODING'"
    ).fetchone()
    return bool(row and row[0])


def _damaged(place: str, error: str) -> str:
    if not place.endswith(".parquet") and mixes_line_ends(Path(place)):  # else taken for an encoding
        return f"{place}: {MIXED_ENDS}; nothing was read"
    if "utf-8" in error.lower() or "unicode" in error.lower():
        return (
            f'{place}: this is not UTF-8; say encoding = "latin-1" (or "utf-16") in the mapping\'s [file];'
            " nothing was read"
        )
    if place.endswith(".parquet"):
        return f"{place}: this is not a Parquet file, or it is damaged; nothing was read"
    return f"{place}: this cannot be read as a table ({error.splitlines()[0][:150]}); nothing was read"
