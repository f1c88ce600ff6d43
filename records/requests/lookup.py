"""Reading single predictions of the score log by their id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.calendar import moment
from core.storage.database import Database
from records import batches
from records.batches import AS_OF, KEY
from records.tables import feature_sets, scores


@dataclass(frozen=True)
class LoggedPrediction:
    """A logged prediction.

    Attributes:
        values: the features used, by name; None for missing ones.
        moments: the as_of of the features, per group.
        context: the names of the values that were sent with the request.
        answers: the ``version`` and the ``score``, per model.
    """

    customer_key: int
    at: datetime
    as_of: datetime | None
    values: Mapping[str, Any]
    moments: Mapping[str, datetime | None]
    context: tuple[str, ...]
    answers: Mapping[str, Mapping[str, Any]]


def find(database: Database, prediction_id: str) -> LoggedPrediction | None:
    """The prediction with this id; None if the log has none.

    Raises:
        PatronError: the log cannot be read.
    """
    if (parts := batches.parsed(prediction_id)) is not None:
        return _find_in_batch(database, *parts)
    joined = scores.join(feature_sets, feature_sets.c.id == scores.c.feature_set)
    statement = sa.select(scores, feature_sets.c.names).select_from(joined)
    with database.reading() as connection:
        row = connection.execute(statement.where(scores.c.prediction_id == prediction_id)).first()
    if row is None:
        return None
    return LoggedPrediction(
        row.customer_key,
        moment(row.at_us),
        None if row.as_of_us is None else moment(row.as_of_us),
        dict(zip(json.loads(row.names), json.loads(row.vector), strict=True)),
        {group: None if at is None else moment(at) for group, at in json.loads(row.moments or "{}").items()},
        tuple(json.loads(row.context or "{}")),
        json.loads(row.answers),
    )


def _find_in_batch(database: Database, prediction_id: str, row: int) -> LoggedPrediction | None:
    """A prediction of a large request."""
    statement = sa.select(scores.c.at_us, scores.c.answers, scores.c.many)
    with database.reading() as connection:
        logged = connection.execute(statement.where(scores.c.prediction_id == prediction_id)).first()
    if logged is None or logged.many is None:
        return None
    table = batches.unpack(logged.many)
    values = batches.row_of(table, row)
    if not values:
        return None
    answers = {
        name: {"version": version, "score": values[name + batches.SCORE]}
        for name, version in json.loads(logged.answers).items()
    }
    return LoggedPrediction(
        values[KEY],
        moment(logged.at_us),
        values[AS_OF],
        {name: values[name] for name in batches.features_of(table)},
        {
            name.removeprefix(batches.MOMENT): None if at is None else moment(at)
            for name, at in values.items()
            if name.startswith(batches.MOMENT)
        },
        (),
        answers,
    )
