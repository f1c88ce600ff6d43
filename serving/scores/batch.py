"""The scores of many customers in one request: in columns from the store's cells to the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.calendar import day_of, micros, moment
from features.online.columns import OnlineColumns
from records import AnsweredTogether
from records.batches import MOMENT, SCORE, name_of
from records.score_jobs import AS_OF, BOUNDS, KEY
from serving.http import timing as stages
from serving.scores.champions import Champions
from serving.scores.columns import answers
from serving.scores.feature_reads import Fetched
from serving.scores.scorer import Outcomes, Score, Scorer, count_outcomes, without_features


def score(
    scorer: Scorer, customer_ids: Sequence[str], models: Sequence[str] | None
) -> tuple[list[dict[str, Any]], Outcomes]:
    """What :meth:`Scorer.score` gives, whatever happens, as it is told; and what there is to count.

    Where a store is away, or a model has a challenger, it goes customer by customer.
    """
    champions, marks = scorer.champions, stages.current()
    names = champions.names(models)
    reader = champions.reader(names)
    found = scorer.feature_reader.fetch_or_cached(list(dict.fromkeys(customer_ids)), reader)
    marks.mark("read")
    if found.degraded or any(name in champions.challengers for name in names):
        entries = scorer.score_fetched(customer_ids, champions, names, reader, found)
        return [entry.told for entry in entries], count_outcomes(entries)
    place, keys, columns = _with_features(found, reader.columns(found.cells))
    marks.mark("assemble")
    answering = [champions.models[name] for name in names if name in champions.models]
    table = answers(answering, keys, columns, scorer.threads.map)
    marks.mark("predict")
    together = _log(scorer, champions, names, table, columns) if place else None
    told = _told(scorer, champions, names, table, columns, together)
    others = {
        each: without_features(each, found.keys.get(each), found, champions, names)
        for each in customer_ids
        if each not in place
    }
    counts = count_outcomes(others[each] for each in customer_ids if each in others)
    _count(names, table, [place[each] for each in customer_ids if each in place], counts)
    return [
        {"customer_id": each} | (others[each].told if each in others else told[place[each]])
        for each in customer_ids
    ], counts


def _with_features(
    found: Fetched, columns: OnlineColumns
) -> tuple[dict[str, int], NDArray[np.int64], OnlineColumns]:
    """Of those who have features: where each id stands, their keys, and their columns."""
    there = columns.as_of.is_valid()
    keys = np.array(list(found.keys.values()), np.int64)
    if columns.as_of.null_count:
        keys = keys[there.to_numpy(zero_copy_only=False)]
        columns = OnlineColumns(
            {name: values.filter(there) for name, values in columns.values.items()},
            columns.as_of.filter(there),
            {group: moments.filter(there) for group, moments in columns.moments.items()},
        )
    ids = [each for each, known in zip(found.keys, there.to_pylist(), strict=True) if known]
    return {customer_id: row for row, customer_id in enumerate(ids)}, keys, columns


def _log(
    scorer: Scorer, champions: Champions, names: Sequence[str], table: pa.Table, columns: OnlineColumns
) -> str | None:
    """Log the answers; the id of all of them."""
    if scorer.log is None:
        return None
    (together,) = scorer.log.prediction_ids(1)
    versions = {name: champions.models[name].version for name in names if name in champions.models}
    kept = table.select([KEY, AS_OF, *columns.values, *(name + SCORE for name in versions)])
    for group, moments in columns.moments.items():
        kept = kept.append_column(MOMENT + group, moments)
    now = scorer.shop.now()
    day = day_of(now, scorer.shop.time_zone)
    scorer.log.put_together(AnsweredTogether(now, day, "api", kept, versions, together))
    return together


def _told(
    scorer: Scorer,
    champions: Champions,
    names: Sequence[str],
    table: pa.Table,
    columns: OnlineColumns,
    together: str | None,
) -> list[dict[str, Any]]:
    """The rows of a table as they are answered, but for the customers' ids."""
    as_of = columns.as_of.to_numpy().tolist()
    moments = {at: moment(at) for at in set(as_of)}  # few: all are computed together
    stale = _stale(columns.moments, champions.oldest(micros(scorer.shop.now())), len(as_of))
    rows = zip(*(_scores(champions, name, table) for name in names), strict=True)
    return [
        {
            "known": True,
            "reason": None,
            "features_as_of": moments[at],
            "fresh": not old,
            "stale": old,
            "degraded": None,
            "prediction_id": name_of(together, row) if together else None,
            "scores": dict(zip(names, scores, strict=True)),
        }
        for row, (at, old, scores) in enumerate(zip(as_of, stale, rows, strict=True))
    ]


def _scores(champions: Champions, name: str, table: pa.Table) -> list[dict[str, Any]]:
    """A model's answers."""
    if name not in champions.models:
        return [Score(None, reason=champions.unavailable[name]).told] * table.num_rows
    model = champions.models[name]
    told = ("score", *BOUNDS, "percentile", "reason")
    there = {what: f"{name}.{what}" for what in told if f"{name}.{what}" in table.column_names}
    found = (_plain(table[there[what]]) if what in there else [None] * table.num_rows for what in told)
    return [
        {
            "score": score,
            "low": low,
            "high": high,
            "percentile": percentile,
            "version": model.version,
            "reason": reason,
        }
        for score, low, high, percentile, reason in zip(*found, strict=True)
    ]


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """A column's values; Arrow's own way takes five times as long."""
    (chunk,) = column.chunks
    if pa.types.is_dictionary(chunk.type):
        words = [*chunk.dictionary.to_pylist(), None]  # which is the last
        return [words[i] for i in chunk.indices.fill_null(-1).to_numpy().tolist()]
    values: list[Any] = chunk.to_numpy(zero_copy_only=False).tolist()
    for row in np.flatnonzero(chunk.is_null()).tolist() if chunk.null_count else ():
        values[row] = None
    return values


def _stale(moments: Mapping[str, pa.Array], oldest: Mapping[str, int], count: int) -> list[tuple[str, ...]]:
    """Per row the groups whose features are older than they may be."""
    found: list[tuple[str, ...]] = [()] * count
    for group, at in moments.items():
        for row in np.flatnonzero(at.fill_null(0).to_numpy(zero_copy_only=False) < oldest[group]).tolist():
            found[row] += (group,)
    return found


def _count(names: Sequence[str], table: pa.Table, rows: Sequence[int], counts: Outcomes) -> None:
    """Add what the rows of a table are counted as."""
    for name in names:
        scored = 0
        if name + SCORE in table.column_names:
            scored = int(table[name + SCORE].is_valid().to_numpy()[list(rows)].sum())
        for outcome, count in (("scored", scored), ("refused", len(rows) - scored)):
            if count:
                counts[name, outcome] = counts.get((name, outcome), 0) + count
