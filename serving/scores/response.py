"""The JSON of ``POST /v1/scores``: of single customers, and of many in columns.

:class:`serving.scores.schemas.CustomerScores` declares the same fields. They are written out twice, since a
shared function would be called for each customer and model of a large request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from core.calendar import moment
from features.online.columns import OnlineColumns
from records.batches import AMOUNT_FIELDS, name_of
from serving.scores.champions import Champions
from serving.scores.score import Score, ScoredCustomer


def score_as_response(score: Score) -> dict[str, Any]:
    """One score."""
    return {
        "score": score.score,
        "low": score.low,
        "high": score.high,
        "probability_of_order": score.probability_of_order,
        "amount_if_order": score.amount_if_order,
        "percentile": score.percentile,
        "version": score.version,
        "reason": score.reason,
    }


def customer_as_response(customer: ScoredCustomer) -> dict[str, Any]:
    """All scores of one customer."""
    return {
        "customer_id": customer.customer_id,
        "known": customer.known,
        "reason": customer.reason,
        "features_as_of": customer.features_as_of,
        "fresh": customer.fresh,
        "stale": customer.stale,
        "degraded": customer.degraded,
        "prediction_id": customer.prediction_id,
        "scores": {name: score_as_response(score) for name, score in customer.scores.items()},
    }


def columns_as_response(
    champions: Champions,
    names: Sequence[str],
    table: pa.Table,
    columns: OnlineColumns,
    oldest: Mapping[str, int],
    batch_id: str | None,
    current: bool,
) -> list[dict[str, Any]]:
    """All scores of many customers, without ``customer_id``.

    Args:
        table: the scores of the models in ``names``, a row per customer.
        columns: the features that they are computed from.
        oldest: per feature group the moment before which it is stale, in microseconds since 1970.
        batch_id: the id of the predictions in the log; None if they were not logged.
        current: whether the refresher keeps up with the events.
    """
    as_of = columns.as_of.to_numpy().tolist()
    moments = {at: moment(at) for at in set(as_of)}  # few: all rows of a build have the same one
    stale_groups = _stale_groups(columns.moments, oldest, len(as_of))
    rows = zip(*(_scores_of_model(champions, name, table) for name in names), strict=True)
    return [
        {
            "known": True,
            "reason": None,
            "features_as_of": moments[at],
            "fresh": current and not stale,
            "stale": stale,
            "degraded": None,
            "prediction_id": name_of(batch_id, row) if batch_id else None,
            "scores": dict(zip(names, scores, strict=True)),
        }
        for row, (at, stale, scores) in enumerate(zip(as_of, stale_groups, rows, strict=True))
    ]


def _scores_of_model(champions: Champions, name: str, table: pa.Table) -> list[dict[str, Any]]:
    """The scores of a model, a row per customer."""
    if name not in champions.models:
        return [score_as_response(Score(None, reason=champions.unavailable[name]))] * table.num_rows
    version = champions.models[name].version
    columns = (
        _values(table[f"{name}.{field}"])
        if f"{name}.{field}" in table.column_names
        else [None] * table.num_rows
        for field in ("score", *AMOUNT_FIELDS, "percentile", "reason")
    )
    return [
        {
            "score": score,
            "low": low,
            "high": high,
            "probability_of_order": probability,
            "amount_if_order": amount,
            "percentile": percentile,
            "version": version,
            "reason": reason,
        }
        for score, low, high, probability, amount, percentile, reason in zip(*columns, strict=True)
    ]


def _values(column: pa.ChunkedArray) -> list[Any]:
    """A column's values; Arrow's own ``to_pylist`` takes five times as long."""
    (chunk,) = column.chunks
    if pa.types.is_dictionary(chunk.type):
        words = [*chunk.dictionary.to_pylist(), None]  # None is the last
        return [words[i] for i in chunk.indices.fill_null(-1).to_numpy().tolist()]
    values: list[Any] = chunk.to_numpy(zero_copy_only=False).tolist()
    for row in np.flatnonzero(chunk.is_null()).tolist() if chunk.null_count else ():
        values[row] = None
    return values


def _stale_groups(
    moments: Mapping[str, pa.Array], oldest: Mapping[str, int], count: int
) -> list[tuple[str, ...]]:
    """Per row the feature groups that are stale."""
    groups: list[tuple[str, ...]] = [()] * count
    for group, at in moments.items():
        for row in np.flatnonzero(at.fill_null(0).to_numpy(zero_copy_only=False) < oldest[group]).tolist():
            groups[row] += (group,)
    return groups
