"""Tables and score jobs as Parquet, NDJSON, CSV or workbooks, part by part, in constant memory.

The parts of a score job have no customer ids; they are looked up while a file is written. A CSV and a
workbook are for a person with a spreadsheet, see ``spreadsheet.py``; Parquet and NDJSON are for programs and
exact.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from events.identity import Identity
from records.batches import AMOUNT_FIELDS, AS_OF, KEY
from records.score_jobs import ScoreJob, ScoreJobStore
from serving.files import exports, writing
from serving.files.spreadsheet import exact_id, inert, number, quoted
from serving.files.workbook import SheetCell, workbook_chunks
from serving.scores.inference import UNBUILT

Kind = Literal["parquet", "ndjson", "csv", "xlsx"]
KINDS = (".parquet", ".ndjson", ".csv", ".xlsx")
MEDIA_TYPES: Mapping[Kind, str] = {
    "parquet": "application/vnd.apache.parquet",
    "ndjson": "application/x-ndjson",
    "csv": exports.MEDIA_TYPES["csv"],
    "xlsx": exports.MEDIA_TYPES["xlsx"],
}
_IDS = ("customer_id", "product_id", "antecedent", "consequent")
_AHEAD = 2  # parts that are read in advance


def kind_of(out: Path) -> Kind:
    """The format of a file, by its name."""
    return cast(Kind, out.suffix.removeprefix("."))


def stream(store: ScoreJobStore, job: ScoreJob, kind: Kind) -> Iterator[bytes]:
    """The file of a finished job, in pieces: a row per customer, by key.

    Columns: ``customer_id``, ``features_as_of``, and per model ``MODEL``, ``MODEL_low`` and ``MODEL_high``
    (of one with intervals), ``MODEL_probability_of_order`` and ``MODEL_amount_if_order`` (of one with both),
    ``MODEL_percentile``, ``MODEL_version`` and ``MODEL_reason``. Customers who were deleted since are left
    out.

    Raises (while it is read):
        PatronError: the database cannot be read.
    """
    return encoded(_tables(store, job), kind, store.home.shop().time_zone)


def encoded(tables: Iterator[pa.Table], kind: Kind, zone: str = "UTC") -> Iterator[bytes]:
    """Tables of the same columns as one file, in pieces.

    Args:
        zone: the zone of the times in a workbook; in the other files they are in UTC.
    """
    return _xlsx(tables, zone) if kind == "xlsx" else _WRITERS[kind](tables)


def write(tables: Iterator[pa.Table], out: Path, zone: str = "UTC") -> None:
    """Write tables of the same columns into one file, in one step; arguments as for :func:`encoded`."""
    writing.write(encoded(tables, kind_of(out), zone), out)


def _tables(store: ScoreJobStore, job: ScoreJob) -> Iterator[pa.Table]:
    """The rows of all parts; the next parts are read while one is written."""
    amounts = _amounts(store, job)
    with ThreadPoolExecutor(_AHEAD, "score-file") as pool:
        ahead: deque[Future[pa.Table]] = deque()
        for chunk in range(job.chunks):
            ahead.append(pool.submit(_rows, store, job, amounts, chunk))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _amounts(store: ScoreJobStore, job: ScoreJob) -> list[str]:
    """The columns of ``AMOUNT_FIELDS`` that all parts have; older parts have none."""
    columns_by_part = [pq.read_schema(store.part(job, chunk)).names for chunk in range(job.chunks)]
    names = (f"{name}.{field}" for name in job.models for field in AMOUNT_FIELDS)
    return [name for name in names if all(name in names for names in columns_by_part)]


def _rows(store: ScoreJobStore, job: ScoreJob, amounts: Sequence[str], chunk: int) -> pa.Table:
    fields = [f"{name}.{what}" for name in job.models for what in ("score", "percentile", "reason")] + [
        *amounts
    ]
    part = pq.ParquetFile(store.part(job, chunk)).read([KEY, AS_OF, *fields], use_threads=False)
    names = Identity(store.home).names(part[KEY].to_numpy())
    built = part[AS_OF].is_valid()
    columns: dict[str, Any] = {
        "customer_id": names,
        # To the second, as the clock is.
        "features_as_of": part[AS_OF].cast(pa.timestamp("s", "UTC"), safe=False),
    }
    for name, version in job.models.items():
        columns |= {
            name: part[f"{name}.score"],
            **{a.replace(".", "_"): part[a] for a in amounts if a.startswith(f"{name}.")},
            f"{name}_percentile": part[f"{name}.percentile"],
            f"{name}_version": _version(version, built),
            f"{name}_reason": _reason(part[f"{name}.reason"], built),
        }
    table = pa.table(columns)
    return table.filter(pc.is_valid(names)) if names.null_count else table


def _version(version: str, built: pa.ChunkedArray) -> pa.DictionaryArray:
    places = pc.if_else(built, pa.scalar(0, pa.int32()), None).combine_chunks()
    return pa.DictionaryArray.from_arrays(places, pa.array([version]))


def _reason(reasons: pa.ChunkedArray, built: pa.ChunkedArray) -> pa.Array:
    if pc.all(built).as_py():
        return reasons
    return pc.if_else(built, reasons.cast(pa.string()), UNBUILT).combine_chunks().dictionary_encode()


def _parquet(tables: Iterator[pa.Table]) -> Iterator[bytes]:
    sink, writer = writing.Sink(), None
    for table in tables:
        if writer is None:
            repeated = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
            writer = pq.ParquetWriter(
                sink, table.schema, compression="lz4", use_dictionary=repeated, store_schema=False
            )
        writer.write_table(table)
        yield sink.take()
    if writer is not None:
        writer.close()
    yield sink.take()


def _ndjson(tables: Iterator[pa.Table]) -> Iterator[bytes]:
    for table in tables:
        cells = [
            pc.binary_join_element_wise(f"{json.dumps(name)}: ", _json(column), "")
            for name, column in zip(table.column_names, table.columns, strict=True)
        ]
        yield _lines(
            pc.binary_join_element_wise("{", pc.binary_join_element_wise(*cells, ", "), "}", ""), "\n"
        )


def _csv(tables: Iterator[pa.Table]) -> Iterator[bytes]:
    for i, table in enumerate(tables):
        if i == 0:
            header = ",".join(quoted(inert(name)) for name in table.column_names)
            yield f"\ufeff{header}\r\n".encode()
        cells = [_cells(name, column) for name, column in zip(table.column_names, table.columns, strict=True)]
        yield _lines(pc.binary_join_element_wise(*cells, ","), "\r\n")


def _xlsx(tables: Iterator[pa.Table], zone: str) -> Iterator[bytes]:
    first = next(tables)
    rows = (row for table in chain([first], tables) for row in zip(*_sheet_cells(table, zone), strict=True))
    return workbook_chunks(first.column_names, rows)


def _sheet_cells(table: pa.Table, zone: str) -> list[list[SheetCell]]:
    moment = pa.timestamp("us", zone)
    return [
        (c.cast(moment, safe=False) if pa.types.is_timestamp(c.type) else c).to_pylist()
        for c in table.columns
    ]


_WRITERS: Mapping[Kind, Callable[[Iterator[pa.Table]], Iterator[bytes]]] = {
    "parquet": _parquet,
    "ndjson": _ndjson,
    "csv": _csv,
}


def _lines(lines: pa.ChunkedArray | pa.Array, end: str) -> bytes:
    texts = lines.combine_chunks() if isinstance(lines, pa.ChunkedArray) else lines
    if isinstance(texts, pa.ChunkedArray):
        texts = pa.concat_arrays(texts.chunks)
    if not len(texts):
        return b""
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), end)[0]
    return bytes(joined.as_buffer()) + end.encode()


def _json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if _is_text(column):
        return _map_texts(column, json.dumps).fill_null("null")
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, '"%Y-%m-%dT%H:%M:%SZ"').fill_null("null")
    if pa.types.is_boolean(column.type):
        return column.cast(pa.string()).fill_null("null")
    finite = pc.if_else(pc.is_finite(column), column, None)
    return finite.cast(pa.string()).fill_null("null")


def _cells(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if _is_text(column):
        guard = exact_id if name in _IDS else inert
        return _map_texts(column, lambda text: quoted(guard(text))).fill_null("")
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, '"%Y-%m-%dT%H:%M:%SZ"').fill_null("")
    if pa.types.is_boolean(column.type):
        return column.cast(pa.string()).fill_null("")
    return _numbers(column).fill_null("")


def _is_text(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_dictionary(column.type))


def _map_texts(column: pa.ChunkedArray, function: Callable[[str], str]) -> pa.Array:
    """Apply a function to every text, once for each distinct one."""
    encoded = column.combine_chunks().dictionary_encode()  # does nothing if it is encoded already
    texts = [function(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)


def _numbers(column: pa.ChunkedArray) -> pa.Array:
    """Numbers in full: Arrow's shortest text, except where that has an exponent."""
    values = column.combine_chunks()
    texts = values.cast(pa.string())
    odd = pc.fill_null(pc.match_substring_regex(texts, "[a-z]"), False)
    if not pc.any(odd).as_py():
        return texts
    in_full = [number(value) for value in values.filter(odd).to_pylist()]
    return pc.replace_with_mask(texts, odd, pa.array(in_full, pa.string()))
