"""Parts of score jobs, as the score log reads them: the features used, and the predictions.

Rows name customers by ``customer_key`` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.home import Home
from records.batches import AS_OF, BOUNDS, DAY, KEY, ORDER_PARTS
from records.score_jobs import ScoreJob, ScoreJobStore

METADATA = ("at_us", "day", "after")
_NOT_READ = ("percentile", "reason", *ORDER_PARTS)  # fields of a model in a part


def write(
    store: ScoreJobStore, job: ScoreJob, chunk: int, rows: pa.Table, metadata: Mapping[str, int]
) -> None:
    """Write a chunk's predictions into their file, in one step.

    Args:
        metadata: the values of ``METADATA``, as :class:`JobPart` explains them.
    """
    with files.replacing(store.part(job, chunk)) as draft:
        write_rows(draft, rows, metadata)


def write_rows(file: Path | BinaryIO, rows: pa.Table, metadata: Mapping[str, int]) -> None:
    """Write the content of the file of a chunk's predictions; see :func:`write`."""
    rows = rows.replace_schema_metadata({name: str(value) for name, value in metadata.items()})
    texts = [column.name for column in rows.schema if not pa.types.is_primitive(column.type)]
    pq.write_table(rows, file, compression="lz4", use_dictionary=texts, write_statistics=False)


@dataclass(frozen=True)
class JobPart:
    """The predictions of a chunk.

    Attributes:
        at_us: when they were made, by the shop's clock, in microseconds since 1970.
        day: the shop's day of that moment.
        after: the number of the last row of the log's table at that moment.
        order: the order of the job among all jobs.
        models: the version of each model.
    """

    path: Path
    at_us: int
    day: int
    after: int
    order: int
    models: Mapping[str, str]


def read_all(home: Home) -> list[JobPart]:
    """All parts of all stored jobs; missing or damaged parts are skipped."""
    parts = []
    store = ScoreJobStore(home)
    for job in store.list_jobs():
        for chunk in range(job.chunks):
            with suppress(OSError, pa.ArrowException, KeyError):
                path = store.part(job, chunk)
                stored = pq.read_metadata(path).metadata
                metadata = {name: int(stored[name.encode()]) for name in METADATA}
                parts.append(JobPart(path, order=job.order, models=job.models, **metadata))
    return parts


@dataclass(frozen=True)
class JobRows:
    """Predictions that a score job made on a day, with the same last row of the log's table before them.

    Attributes:
        day, after, order: as of :class:`JobPart`.
        rows: ``day``, ``customer_key``, the features, and per model ``MODEL.score``, ``MODEL.version`` and
            the bounds of intervals; each customer once.
        keys: ``customer_key`` of the rows; DuckDB would copy the rows if a query selected it from them.
    """

    day: int
    after: int
    order: int
    rows: ir.Table
    keys: ir.Table

    @property
    def position(self) -> tuple[int, int]:
        """The predictions of the higher one are later."""
        return self.after, self.order


def read_rows(parts: Sequence[JobPart], backend: Any, features: bool) -> list[JobRows]:
    """The predictions in some parts; customers without features got none.

    Args:
        backend: DuckDB or Spark.
        features: whether to return the features.
    """

    def place(part: JobPart) -> tuple[int, int, int]:
        return part.order, part.day, part.after

    result = []
    for (order, day, after), group in groupby(sorted(parts, key=place), key=place):
        members = [*group]
        table = backend.read_parquet([part.path for part in members])
        models = members[0].models
        predicted = [f"{name}.{field}" for name in models for field in ("score", *BOUNDS)]
        others = {KEY, AS_OF, *(f"{name}.{field}" for name in models for field in _NOT_READ)}
        of_features = (
            [name for name in table.columns if name not in {*others, *predicted}] if features else []
        )
        versions = {f"{name}.version": ibis.literal(version) for name, version in models.items()}
        scored = table.filter(table[AS_OF].notnull())
        rows = scored.select(
            KEY, *of_features, *(name for name in predicted if name in table.columns),
            **versions, **{DAY: ibis.literal(day, "int32")},
        )  # fmt: skip
        result.append(JobRows(day, after, order, rows, scored.select(KEY)))
    return result
