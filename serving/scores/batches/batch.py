"""Scores many customers of one request in columns, from the store's cells to the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.calendar import day_of, micros
from features.online.columns import OnlineColumns
from records import PredictionBatch
from records.batches import MOMENT, SCORE
from serving.http import timing
from serving.scores.batches.columns import columns_of_features
from serving.scores.batches.model_scores import ModelScores, scores_of_models
from serving.scores.feature_reads import Fetched
from serving.scores.inference import without_features
from serving.scores.response import CustomerEntry, columns_as_response, customer_as_response
from serving.scores.score import Outcomes, count_outcomes
from serving.scores.scorer import Scorer

FEW_FOR_THREADS = 200  # customers up to which switches of threads take longer than they save


def score(
    scorer: Scorer, customer_ids: Sequence[str], models: Sequence[str] | None
) -> tuple[list[CustomerEntry], Outcomes]:
    """The response of :meth:`Scorer.score` with fallback, customer by customer; and the counts of outcomes.

    Customers are scored one by one while a store is unavailable, and if a model has a challenger.
    """
    champions, marks = scorer.champions, timing.current()
    names = champions.names(models)
    reader = champions.reader(names)
    fetched = scorer.feature_reader.fetch_or_cached(list(dict.fromkeys(customer_ids)), reader)
    marks.mark("read")
    if fetched.degraded or any(name in champions.challengers for name in names):
        customers = scorer.score_fetched(customer_ids, champions, names, reader, fetched)
        return [customer_as_response(customer) for customer in customers], count_outcomes(customers)
    index, keys, columns = _with_features(fetched, reader.columns(fetched.cells))
    marks.mark("assemble")
    answering = [champions.models[name] for name in names if name in champions.models]
    nobody = np.zeros(len(keys), bool)  # is without features
    threads = scorer.threads.map if len(keys) > FEW_FOR_THREADS else map
    scores = {each.model.name: each for each in scores_of_models(answering, columns.values, nobody, threads)}
    marks.mark("predict")
    batch_id = _log(scorer, keys, columns, scores) if index else None
    oldest = champions.oldest(micros(scorer.shop.now()))
    current = scorer.freshness.reason is None
    entries = columns_as_response(champions, names, scores, columns, [*index], oldest, batch_id, current)
    others = {
        customer_id: without_features(customer_id, fetched.keys.get(customer_id), fetched, champions, names)
        for customer_id in customer_ids
        if customer_id not in index
    }
    counts = count_outcomes(others[customer_id] for customer_id in customer_ids if customer_id in others)
    rows = [index[customer_id] for customer_id in customer_ids if customer_id in index]
    _count(names, scores, np.array(rows, np.int64), counts)
    entries |= {customer_id: customer_as_response(customer) for customer_id, customer in others.items()}
    return [entries[customer_id] for customer_id in customer_ids], counts


def _with_features(
    fetched: Fetched, columns: OnlineColumns
) -> tuple[dict[str, int], NDArray[np.int64], OnlineColumns]:
    """The customers with features: the row of each id, their keys, and their columns."""
    valid = columns.as_of.is_valid()
    keys = np.array(list(fetched.keys.values()), np.int64)
    if columns.as_of.null_count:
        keys = keys[valid.to_numpy(zero_copy_only=False)]
        columns = OnlineColumns(
            {name: values.filter(valid) for name, values in columns.values.items()},
            columns.as_of.filter(valid),
            {group: moments.filter(valid) for group, moments in columns.moments.items()},
        )
    ids = [customer_id for customer_id, known in zip(fetched.keys, valid.to_pylist(), strict=True) if known]
    return {customer_id: row for row, customer_id in enumerate(ids)}, keys, columns


def _log(
    scorer: Scorer, keys: NDArray[np.int64], columns: OnlineColumns, scores: Mapping[str, ModelScores]
) -> str | None:
    """Log the predictions; return the id of the batch."""
    if scorer.log is None:
        return None
    (batch_id,) = scorer.log.prediction_ids(1)
    logged = columns_of_features(keys, columns)
    logged |= {name + SCORE: pa.array(each.numbers["score"], mask=each.none) for name, each in scores.items()}
    logged |= {MOMENT + group: moments for group, moments in columns.moments.items()}
    now = scorer.shop.now()
    day = day_of(now, scorer.shop.time_zone)
    versions = {name: each.model.version for name, each in scores.items()}
    scorer.log.append_batch(PredictionBatch(now, day, "api", pa.table(logged), versions, batch_id))
    return batch_id


def _count(
    names: Sequence[str], scores: Mapping[str, ModelScores], rows: NDArray[np.int64], counts: Outcomes
) -> None:
    """Add the outcomes of these rows."""
    for name in names:
        scored = int(np.count_nonzero(~scores[name].none[rows])) if name in scores else 0
        for outcome, count in (("scored", scored), ("refused", len(rows) - scored)):
            if count:
                counts[name, outcome] = counts.get((name, outcome), 0) + count
