"""JSON: one object a line (NDJSON), or one array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from core.errors import PatronError
from events.files.mapping import FileSection
from events.files.readers import encodings, headers
from events.files.readers.source import Source, load_rows, without_blank_rows

MAX_ARRAY_BYTES = 512 << 20


def open_json(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    file: FileSection,
    folder: Path,
    limit: int | None = None,
) -> Source:
    """Read objects into a DuckDB table: a column per key, and per key of an object within (``customer.id``).

    Numbers keep the text that they were written with. Lists are JSON. Lines that are no object go to
    ``reject_errors``.

    Raises:
        PatronError: there is no object, or an array is damaged or too large.
    """
    encoding = file.encoding or encodings.detect(path)
    utf8 = path
    if encoding != "utf-8" or not encodings.decodes(path, encoding):
        utf8 = folder / "utf-8.json"
        encodings.transcode(path, encoding, utf8)
    keys: dict[str, None] = {}
    for _, cells in _objects(path, utf8):
        keys.update(dict.fromkeys(cells or ()))
    if not keys:
        raise PatronError(f"{path}: no line is a JSON object; nothing was read")
    names = headers.column_names([*keys], len(keys))
    rejected: list[int] = []

    def rows() -> Iterator[list[str | None]]:
        for line, cells in _objects(path, utf8):
            if cells is None:
                rejected.append(line)
            else:
                yield [cells.get(key) for key in keys]

    load_rows(connection, "json_rows", names, rows(), limit)
    connection.execute("CREATE TABLE reject_errors (line BIGINT)")
    if rejected:
        connection.executemany("INSERT INTO reject_errors VALUES (?)", [[line] for line in rejected])
    return Source(
        names, without_blank_rows(connection.table("json_rows"), names), f"JSON in {encoding}",
        file.model_copy(update={"encoding": encoding}), has_rejects=True,
    )  # fmt: skip


def _objects(path: Path, utf8: Path) -> Iterator[tuple[int, dict[str, str | None] | None]]:
    """The number of each object (its line, from 1) and its cells; None for what is no object."""
    with open(utf8, encoding="utf-8-sig") as opened:
        if _first(opened.read(1 << 16)) == "[":
            yield from _array(path, utf8)
            return
        opened.seek(0)
        for number, line in enumerate(opened, start=1):
            if line.strip():
                try:
                    yield number, _cells(_parse(line))
                except (ValueError, RecursionError):
                    yield number, None


def _array(path: Path, utf8: Path) -> Iterator[tuple[int, dict[str, str | None] | None]]:
    if utf8.stat().st_size > MAX_ARRAY_BYTES:
        raise PatronError(
            f"{path}: an array of more than {MAX_ARRAY_BYTES >> 20} MB; write one object a line (NDJSON)"
        )
    try:
        objects = _parse(utf8.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise PatronError(f"{path}: this JSON is damaged or cut off; nothing was read") from error
    yield from ((number, _cells(value)) for number, value in enumerate(objects, start=1))


def _parse(text: str) -> Any:
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)


def _first(text: str) -> str:
    return text.lstrip()[:1]


def _cells(value: Any) -> dict[str, str | None] | None:
    if not isinstance(value, dict):
        return None
    cells: dict[str, str | None] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            cells |= {f"{key}.{name}": _text(cell) for name, cell in inner.items()}
        else:
            cells[key] = _text(inner)
    return cells


def _text(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case _:
            return json.dumps(value, ensure_ascii=False)
