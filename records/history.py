"""The predictions of a span of time, from the rows of the score log and the parts of score jobs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from core.calendar import micros
from core.errors import NothingThere
from core.home import Home
from core.storage.database import Database
from records import batches, frames, job_parts, lost_rows
from records.tables import feature_sets, scores


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

    vectors: pd.DataFrame
    answers: int
    lost: int


def latest(home: Home) -> int:
    """The number of the last committed row; parts of score jobs store it, to be ordered among the rows."""
    row = Database(home).first("SELECT max(id) FROM scores", ())
    return (row and row[0]) or 0


def read(home: Home, since: datetime, until: datetime) -> Logged:
    """The predictions from ``since`` up to and including ``until``, by the shop's clock.

    Raises:
        NothingThere: nothing was scored yet.
        PatronError: the log cannot be read.
    """
    database, span = Database(home), scores.c.at_us.between(micros(since), micros(until))
    nothing = NothingThere(f"nothing was scored yet in {home.path}; run `patron score` or call /v1/scores")
    parts = job_parts.read_all(home)
    try:
        with database.reading() as connection:
            if not parts and connection.execute(sa.select(scores.c.id).limit(1)).first() is None:
                raise nothing
        lost = lost_rows.settle(database, home.logs)
    except NothingThere as error:
        raise nothing from error
    singly, together = scores.c.many.is_(None), scores.c.many.is_not(None)
    last = (
        sa.select(sa.func.max(scores.c.id)).where(span, singly).group_by(scores.c.day, scores.c.customer_key)
    )
    columns = scores.c.day, scores.c.customer_key, feature_sets.c.names, scores.c.vector, scores.c.answers
    joined = scores.join(feature_sets, feature_sets.c.id == scores.c.feature_set)
    with database.reading() as connection:
        counted = sa.select(sa.func.count()).select_from(scores).where(span, singly)
        latest_of_day = frames.Latest(connection.execute(counted).scalar_one())
        query = sa.select(scores.c.id, *columns).select_from(joined)
        rows = connection.execute(query.where(scores.c.id.in_(last)).order_by(scores.c.id)).all()
        latest_of_day.add(pd.DataFrame(_flat(row[1:] for row in rows)), after=[row[0] for row in rows])
        batch_query = sa.select(scores.c.id, scores.c.day, scores.c.answers, scores.c.many)
        for row in connection.execute(batch_query.where(span, together)):
            frame = batches.to_frame(row.many, json.loads(row.answers)).assign(day=row.day)
            latest_of_day.add(frame, after=row.id, answers=len(frame))
    for part in parts:
        if micros(since) <= part.at_us <= micros(until):
            latest_of_day.add_part(part)
    return Logged(latest_of_day.vectors(), latest_of_day.answers, lost)


def _flat(rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    flat = []
    for day, key, names, vector, answers in rows:
        row = {"day": day, "customer_key": key}
        row |= dict(zip(json.loads(names), json.loads(vector), strict=True))
        for model, prediction in json.loads(answers).items():
            row |= {f"{model}.score": prediction["score"], f"{model}.version": prediction["version"]}
        flat.append(row)
    return flat
