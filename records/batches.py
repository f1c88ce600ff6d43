"""Answers to one large request as the log holds them: a table of Arrow within a row, LZ4 compressed.

A row of JSON per customer would take longer to write than the answer takes. The table has ``customer_key``,
``as_of`` (of the features), the features, per model ``MODEL.score``, and per group ``as_of.GROUP``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa

KEY, AS_OF = "customer_key", "as_of"
BOUNDS = ("low", "high")  # of money, where the model has intervals
SCORE, MOMENT = ".score", "as_of."
_NUMBER = re.compile("0|[1-9][0-9]{0,5}")
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class PredictionBatch:
    """The answers to a request.

    Attributes:
        at: when, by the shop's clock. day: the shop's day of it.
        table: one row per customer, as said above.
        versions: per model the one that answered.
        prediction_id: of all; that of a customer has a point and the row's number after it.
    """

    at: datetime
    day: int
    route: str
    table: pa.Table
    versions: Mapping[str, str]
    prediction_id: str

    def __len__(self) -> int:
        return int(self.table.num_rows)


def name_of(prediction_id: str, row: int) -> str:
    """By which the answer of a row can be asked for later."""
    return f"{prediction_id}.{row}"


def parsed(prediction_id: str) -> tuple[str, int] | None:
    """The id of all answers of a request and a row's number; None for an answer that is alone."""
    together, _, row = prediction_id.partition(".")
    return (together, int(row)) if _NUMBER.fullmatch(row) else None


def pack(table: pa.Table) -> bytes:
    """A table as a row of the log holds it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def unpack(packed: bytes) -> pa.Table:
    """The table that was packed."""
    return pa.ipc.open_stream(packed).read_all()


def features_of(table: pa.Table) -> list[str]:
    """The names of the features in a table."""
    return [
        name
        for name in table.column_names
        if name not in (KEY, AS_OF) and not name.endswith(SCORE) and not name.startswith(MOMENT)
    ]


def to_frame(packed: bytes, versions: Mapping[str, str]) -> pd.DataFrame:
    """``customer_key``, the features, and per model ``MODEL.score`` and ``MODEL.version``."""
    table = unpack(packed)
    moments = [name for name in table.column_names if name.startswith(MOMENT)]
    frame: pd.DataFrame = table.drop_columns([AS_OF, *moments]).to_pandas()
    return frame.assign(**{f"{name}.version": version for name, version in versions.items()})


def row_of(table: pa.Table, row: int) -> dict[str, Any]:
    """A row by column; None where there is none."""
    rows: list[dict[str, Any]] = table.slice(row, 1).to_pylist()
    return rows[0] if rows else {}
