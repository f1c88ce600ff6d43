"""The JSON of ``POST /v1/scores``: of single customers, and of many in columns.

:class:`serving.scores.schemas.CustomerScores` declares the same fields, for the API's description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import repeat

import msgspec
import numpy as np
import pyarrow as pa

from core.calendar import moment
from features.online.columns import OnlineColumns
from records.batches import AMOUNT_FIELDS, name_of
from serving.scores.batches.model_scores import ModelScores
from serving.scores.champions import Champions
from serving.scores.score import Score, ScoredCustomer

_NUMBERS = ("score", *AMOUNT_FIELDS, "percentile")  # in the order of ScoreEntry


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
    model_scores: Mapping[str, ModelScores],
    columns: OnlineColumns,
    customer_ids: Sequence[str],
    oldest: Mapping[str, int],
    batch_id: str | None,
    current: bool,
) -> dict[str, CustomerEntry]:
    """All scores of many customers, by customer.

    Args:
        model_scores: of the available models in ``names``, by name.
        columns: the features that they are computed from.
        customer_ids: of the rows.
        oldest: per feature group the moment before which it is stale, in microseconds since 1970.
        batch_id: the id of the predictions in the log; None if they were not logged.
        current: whether the refresher keeps up with the events.
    """
    as_of = columns.as_of.to_numpy().tolist()
    moments = {at: moment(at) for at in set(as_of)}  # few: all rows of a build have the same one
    stale = _stale_groups(columns.moments, oldest, len(as_of))
    prediction_ids = [name_of(batch_id, row) if batch_id else None for row in range(len(as_of))]
    by_model = [_entries_of_model(champions, name, model_scores, len(as_of)) for name in names]
    # By `map` and `zip` alone, without a call of Python per customer.
    entries = map(
        CustomerEntry,
        customer_ids,
        repeat(True),
        repeat(None),
        map(moments.__getitem__, as_of),
        [current and not groups for groups in stale],
        stale,
        repeat(None),
        prediction_ids,
        map(dict, map(zip, repeat(names), zip(*by_model, strict=True))),
    )
    return dict(zip(customer_ids, entries, strict=True))


def _entries_of_model(
    champions: Champions, name: str, model_scores: Mapping[str, ModelScores], count: int
) -> list[ScoreEntry]:
    """The entries of a model, one per customer."""
    if name not in model_scores:
        return [score_as_response(Score(None, reason=champions.unavailable[name]))] * count
    scores = model_scores[name]
    version, absent = scores.model.version, [None] * count
    columns = [scores.numbers[field].tolist() if field in scores.numbers else absent for field in _NUMBERS]
    entries = list(map(ScoreEntry, *columns, [version] * count, absent))
    refused = np.flatnonzero(scores.none)
    if len(refused):
        codes = scores.reasons.indices.to_numpy(zero_copy_only=False)[refused].astype(int).tolist()
        reasons = scores.reasons.dictionary.to_pylist()
        by_code = [score_as_response(Score(None, version=version, reason=reason)) for reason in reasons]
        for row, code in zip(refused.tolist(), codes, strict=True):
            entries[row] = by_code[code]
    return entries


def _stale_groups(
    moments: Mapping[str, pa.Array], oldest: Mapping[str, int], count: int
) -> list[tuple[str, ...]]:
    """Per row the feature groups that are stale."""
    groups: list[tuple[str, ...]] = [()] * count
    for group, at in moments.items():
        for row in np.flatnonzero(at.fill_null(0).to_numpy(zero_copy_only=False) < oldest[group]).tolist():
            groups[row] += (group,)
    return groups
