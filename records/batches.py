"""The predictions of one large request as the score log stores them: an Arrow table in a row, LZ4 compressed.

Writing a row of JSON per customer would take longer than the request. The table has ``customer_key``,
``as_of`` (of the features), the features, per model ``MODEL.score``, and per group ``as_of.GROUP``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

KEY, DAY, AS_OF = "customer_key", "day", "as_of"
BOUNDS = ("low", "high")  # of an amount, for models with intervals
ORDER_PARTS = ("probability_of_order", "amount_if_order")  # of an amount, for models with both
AMOUNT_FIELDS = (*BOUNDS, *ORDER_PARTS)
SCORE, MOMENT = ".score", "as_of."
_NUMBER = re.compile("0|[1-9][0-9]{0,5}")
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class PredictionBatch:
    """The predictions of a request.

    Attributes:
        at: the moment by the shop's clock. day: the shop's day of ``at``.
        table: one row per customer, as described above.
        versions: the version of each model.
        prediction_id: the id of the batch; a customer's id is this, a point and the number of the row.
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
    """The id of the prediction in a row."""
    return f"{prediction_id}.{row}"


def parsed(prediction_id: str) -> tuple[str, int] | None:
    """The id of the batch and the number of the row; None for the id of a single prediction."""
    together, _, row = prediction_id.partition(".")
    return (together, int(row)) if _NUMBER.fullmatch(row) else None


def pack(table: pa.Table) -> bytes:
    """Serialise a table for the log."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def unpack(packed: bytes) -> pa.Table:
    """Deserialise a packed table."""
    return pa.ipc.open_stream(packed).read_all()


def features_of(table: pa.Table) -> list[str]:
    """The names of the features in a table."""
    return [
        name
        for name in table.column_names
        if name not in (KEY, AS_OF) and not name.endswith(SCORE) and not name.startswith(MOMENT)
    ]


def to_table(packed: bytes, versions: Mapping[str, str], features: bool) -> pa.Table:
    """A table with ``customer_key``, the features, and per model ``MODEL.score`` and ``MODEL.version``.

    Args:
        features: whether to return the features.
    """
    table = unpack(packed)
    of_features = features_of(table) if features else ()
    table = table.select([KEY, *of_features, *(f"{name}{SCORE}" for name in versions)])
    for name, version in versions.items():
        table = table.append_column(f"{name}.version", pa.repeat(str(version), table.num_rows))
    return table


def row_of(table: pa.Table, row: int) -> dict[str, Any]:
    """The values of a row by column; None for missing ones."""
    rows: list[dict[str, Any]] = table.slice(row, 1).to_pylist()
    return rows[0] if rows else {}
