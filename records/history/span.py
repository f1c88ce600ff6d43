"""The predictions of a span of time, from the rows of the score log and the parts of score jobs.

They are a table of Ibis, since a month of a large shop's score jobs does not fit into memory. The rows of the
log's table are few next to those, and are in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from core.calendar import micros
from core.errors import NothingThere
from core.home import Home
from core.storage.database import Database
from records import job_parts, lost_rows
from records.batches import DAY, KEY
from records.history.combined import AFTER, union_all
from records.history.table_rows import read_rows
from records.job_parts import JobRows
from records.tables import scores


@dataclass(frozen=True)
class Logged:
    """The predictions of a span of time.

    Attributes:
        vectors: one row per customer and day, with the day's last prediction: ``day``, ``customer_key``,
            the features, and per model ``MODEL.score`` and ``MODEL.version``; of score jobs also
            ``MODEL.low`` and ``MODEL.high`` for models with intervals.
        answers: the number of predictions in the span.
        lost: the number of all predictions ever lost with killed writers.
    """

    vectors: ir.Table
    answers: int
    lost: int


def latest(home: Home) -> int:
    """The number of the last committed row; parts of score jobs store it, to be ordered among the rows."""
    row = Database(home).first("SELECT max(id) FROM scores", ())
    return (row and row[0]) or 0


def read(home: Home, since: datetime, until: datetime, backend: Any, *, features: bool = True) -> Logged:
    """The predictions from ``since`` up to and including ``until``, by the shop's clock.

    Args:
        backend: DuckDB or Spark, which reads the score jobs.
        features: whether the vectors have the features.

    Raises:
        NothingThere: nothing was scored yet.
        PatronError: the log cannot be read.
    """
    database, first, last = Database(home), micros(since), micros(until)
    nothing = NothingThere(f"nothing was scored yet in {home.path}; run `patron score` or call /v1/scores")
    parts = job_parts.read_all(home)
    try:
        with database.reading() as connection:
            if not parts and connection.execute(sa.select(scores.c.id).limit(1)).first() is None:
                raise nothing
        lost = lost_rows.settle(database, home.logs)
    except NothingThere as error:
        raise nothing from error
    rows, answers = read_rows(database, scores.c.at_us.between(first, last), features)
    jobs = job_parts.read_rows([part for part in parts if first <= part.at_us <= last], backend, features)
    if jobs:
        answers += int(backend.to_pyarrow(ibis.union(*(job.keys for job in jobs)).count()).as_py())
    return Logged(_last_of_day(rows, jobs), answers, lost)


def _last_of_day(rows: pa.Table | None, jobs: Sequence[JobRows]) -> ir.Table:
    """The last prediction of each customer and day.

    Args:
        rows: those of the log's table, the last one of each customer and day.
    """
    tables = [_without_later(job, jobs, rows) for job in jobs]
    if rows is not None:
        table = ibis.memtable(rows)
        days = pc.unique(rows[DAY]).to_pylist()
        if later := [
            job.keys.mutate(day=ibis.literal(job.day, "int32"), after=job.after)
            for job in jobs
            if job.day in days
        ]:
            of_jobs = ibis.union(*later)
            table = table.anti_join(of_jobs, [DAY, KEY, table[AFTER] <= of_jobs.after])
        tables.append(table.drop(AFTER))
    if not tables:
        return ibis.memtable(pa.table({DAY: pa.array([], "int32"), KEY: pa.array([], "int64")}))
    return union_all(tables)


def _without_later(job: JobRows, jobs: Sequence[JobRows], rows: pa.Table | None) -> ir.Table:
    """The predictions of a job after which the customer got none on the same day.

    The anti-join has the customers of others only: a window over the rows would sort all their columns.
    """
    later = [other.keys for other in jobs if other.day == job.day and other.position > job.position]
    if rows is not None:
        after = rows.filter((pc.field(DAY) == job.day) & (pc.field(AFTER) > job.after))
        later += [ibis.memtable(after.select([KEY]))] if after.num_rows else []
    return job.rows.anti_join(ibis.union(*later), KEY) if later else job.rows
