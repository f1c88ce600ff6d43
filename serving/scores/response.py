"""The JSON of ``POST /v1/scores``: of single customers, and of many in columns.

:class:`serving.scores.schemas.CustomerScores` declares the same fields, for the API's description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from core.calendar import moment
from features.online.columns import OnlineColumns
from records.batches import AMOUNT_FIELDS, name_of
from serving.scores.champions import Champions
from serving.scores.score import Score, ScoredCustomer

FIELDS = ("score", *AMOUNT_FIELDS, "percentile", "reason")  # of a model's columns, in the order of ScoreEntry


class ScoreEntry(msgspec.Struct, frozen=True, gc=False):
    """One score.

    Structs are built and encoded twice as fast as dictionaries, and the garbage collector ignores them.
    """

    score: float | None
    low: float | None
    high: float | None
    probability_of_order: float | None
    amount_if_order: float | None
    percentile: float | None
    version: str | None
    reason: str | None


class CustomerEntry(msgspec.Struct, frozen=True, gc=False):
    """All scores of one customer."""

    customer_id: str
    known: bool | None
    reason: str | None
    features_as_of: datetime | None
    fresh: bool
    stale: tuple[str, ...]
    degraded: str | None
    prediction_id: str | None
    scores: dict[str, ScoreEntry]


_ENCODER = msgspec.json.Encoder()


def encode(customers: Sequence[CustomerEntry]) -> bytes:
    """The JSON of a response; numbers that are not finite are null."""
    return _ENCODER.encode({"customers": customers})


def score_as_response(score: Score) -> ScoreEntry:
    """One score."""
    return ScoreEntry(
        score.score, score.low, score.high, score.probability_of_order, score.amount_if_order,
        score.percentile, score.version, score.reason,
    )  # fmt: skip


def customer_as_response(customer: ScoredCustomer) -> CustomerEntry:
    """All scores of one customer."""
    return CustomerEntry(
        customer.customer_id, customer.known, customer.reason, customer.features_as_of, customer.fresh,
        customer.stale, customer.degraded, customer.prediction_id,
        {name: score_as_response(score) for name, score in customer.scores.items()},
    )  # fmt: skip


def columns_as_response(
    champions: Champions,
    names: Sequence[str],
    table: pa.Table,
    columns: OnlineColumns,
    customer_ids: Sequence[str],
    oldest: Mapping[str, int],
    batch_id: str | None,
    current: bool,
) -> dict[str, CustomerEntry]:
    """All scores of many customers, by customer.

    Args:
        table: the scores of the models in ``names``, a row per customer.
        columns: the features that they are computed from.
        customer_ids: of the rows.
        oldest: per feature group the moment before which it is stale, in microseconds since 1970.
        batch_id: the id of the predictions in the log; None if they were not logged.
        current: whether the refresher keeps up with the events.
    """
    as_of = columns.as_of.to_numpy().tolist()
    moments = {at: moment(at) for at in set(as_of)}  # few: all rows of a build have the same one
    stale_groups = _stale_groups(columns.moments, oldest, len(as_of))
    rows = zip(*(_scores_of_model(champions, name, table) for name in names), strict=True)
    return {
        customer_id: CustomerEntry(
            customer_id, True, None, moments[at], current and not stale, stale, None,
            name_of(batch_id, row) if batch_id else None, dict(zip(names, scores, strict=True)),
        )
        for row, (customer_id, at, stale, scores) in enumerate(
            zip(customer_ids, as_of, stale_groups, rows, strict=True)
        )
    }  # fmt: skip


def _scores_of_model(champions: Champions, name: str, table: pa.Table) -> list[ScoreEntry]:
    """The scores of a model, a row per customer."""
    if name not in champions.models:
        return [score_as_response(Score(None, reason=champions.unavailable[name]))] * table.num_rows
    none = [None] * table.num_rows
    available = set(table.column_names)
    columns = (
        _values(table[f"{name}.{field}"]) if f"{name}.{field}" in available else none for field in FIELDS
    )
    version = [champions.models[name].version] * table.num_rows
    *numbers, reasons = columns
    return list(map(ScoreEntry, *numbers, version, reasons))


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
