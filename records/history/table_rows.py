"""The predictions of a span of time in the rows of the score log's table, as Arrow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from core.storage.database import Database
from records import batches
from records.batches import DAY, KEY
from records.history.combined import AFTER, concatenate, last_of_day
from records.tables import feature_sets, scores

ROWS = 10_000  # in a table of single predictions
MAX_TABLES = 200  # in memory before superseded rows are dropped


def read_rows(
    database: Database, span: sa.ColumnElement[bool], features: bool
) -> tuple[pa.Table | None, int]:
    """The last prediction of each customer and day in the table, and the number of all predictions there.

    Args:
        span: the condition of the rows.
        features: whether to read the features, too.

    Returns:
        ``day``, ``customer_key``, ``AFTER`` (the number of the row), the features, and per model
        ``MODEL.score`` and ``MODEL.version``; None if there are no predictions.
    """
    single = scores.c.many.is_(None)
    tables: list[pa.Table] = []
    with database.reading() as connection:
        count = sa.select(sa.func.count()).select_from(scores).where(span, single)
        predictions = connection.execute(count).scalar_one()
        for table in _single(connection, sa.and_(span, single), features):
            tables = _appended(tables, table)
        for table in _of_requests(connection, sa.and_(span, ~single), features):
            predictions += table.num_rows
            tables = _appended(tables, table)
    return (last_of_day(concatenate(tables)) if tables else None), predictions


def _appended(tables: list[pa.Table], table: pa.Table) -> list[pa.Table]:
    tables = [*tables, table]
    return [last_of_day(concatenate(tables))] if len(tables) >= MAX_TABLES else tables


def _single(connection: sa.Connection, rows: sa.ColumnElement[bool], features: bool) -> Iterator[pa.Table]:
    """Predictions with a row of their own, the last one of each customer and day."""
    last = sa.select(sa.func.max(scores.c.id)).where(rows).group_by(scores.c.day, scores.c.customer_key)
    columns = (feature_sets.c.names, scores.c.vector) if features else (sa.literal("[]"), sa.literal("[]"))
    joined = scores.join(feature_sets, feature_sets.c.id == scores.c.feature_set)
    query = sa.select(scores.c.id, scores.c.day, scores.c.customer_key, scores.c.answers, *columns)
    query = query.select_from(joined).where(scores.c.id.in_(last)).order_by(scores.c.id)
    for part in connection.execute(query, execution_options={"yield_per": ROWS}).partitions():
        by_names: dict[str, list[Sequence[Any]]] = {}
        for row in part:
            by_names.setdefault(row[-2], []).append(row)
        for names, of_names in by_names.items():
            yield _table(json.loads(names), of_names)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows with the same features.

    Args:
        rows: number, day, customer, answers, names and vector of each.
    """
    numbers, days, keys, answers, _, vectors = zip(*rows, strict=True)
    columns = {DAY: pa.array(days, "int32"), KEY: pa.array(keys, "int64"), AFTER: pa.array(numbers, "int64")}
    values = zip(*map(json.loads, vectors), strict=True)
    columns |= {name: _array(column) for name, column in zip(names, values, strict=True)}
    by_model = [json.loads(answer) for answer in answers]
    for model in dict.fromkeys(name for answer in by_model for name in answer):
        predictions = [answer.get(model, {}) for answer in by_model]
        versions = [each["version"] and str(each["version"]) if each else None for each in predictions]
        columns[f"{model}.score"] = pa.array([each.get("score") for each in predictions], "float64")
        columns[f"{model}.version"] = pa.array(versions, "string")
    return pa.table(columns)


def _array(values: Sequence[Any]) -> pa.Array:
    """Values of JSON, as texts if they are of several types."""
    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array(
            [each if each is None or isinstance(each, str) else json.dumps(each) for each in values]
        )


def _of_requests(
    connection: sa.Connection, rows: sa.ColumnElement[bool], features: bool
) -> Iterator[pa.Table]:
    """The predictions of each large request."""
    query = sa.select(scores.c.id, scores.c.day, scores.c.answers, scores.c.many).where(rows)
    for row in connection.execute(query.order_by(scores.c.id)):
        table = batches.to_table(row.many, json.loads(row.answers), features)
        size = table.num_rows
        table = table.append_column(DAY, pa.repeat(pa.scalar(row.day, "int32"), size))
        yield table.append_column(AFTER, pa.repeat(pa.scalar(row.id, "int64"), size))
