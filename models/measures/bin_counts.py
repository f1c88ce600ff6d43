"""Counts of customers per bin by Ibis: on any engine, and of more rows than fit into memory."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from models.measures.bins import MAX_NUMBER, Array, bins_of, thresholds

DAYS = "customer.days"
"""The column with the number of rows of a row's customer; no feature has a name with a point."""


def count_bins(backend: Any, rows: ir.Table, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, Array]:
    """The number of customers per bin of some columns, those whose value is missing last.

    A number is missing if it is null, infinite or no number. Each row with ``DAYS`` weighs 1 / ``DAYS``, so
    that the rows of a customer weigh as one; without that column each row is a customer.

    Args:
        backend: the engine that counts.
        specs: the bins of each column, as :func:`models.measures.reference.describe` has them.
    """
    if not specs:
        return {}
    starts = np.cumsum([0, *(len(bins_of(spec)) + 1 for spec in specs.values())]).tolist()
    # A row becomes one row per column: an aggregate per bin would be hundreds of them in one query.
    places = [
        _bin(rows[name], spec) + start for (name, spec), start in zip(specs.items(), starts, strict=False)
    ]
    days = rows[DAYS] if DAYS in rows.columns else ibis.literal(1, "int64")
    values = rows.select(days=days, place=ibis.array(places).unnest())
    counts = values.group_by("days", "place").aggregate(rows=values.count())
    counted = backend.to_pyarrow(counts).sort_by([("days", "ascending"), ("place", "ascending")])
    days_of, place, number = (counted[name].to_numpy() for name in ("days", "place", "rows"))
    customers: Array = np.zeros(starts[-1])
    np.add.at(customers, place, number / days_of)
    return {name: customers[start:end] for name, (start, end) in zip(specs, pairwise(starts), strict=True)}


def _bin(column: ir.Column, spec: Mapping[str, Any]) -> ir.IntegerValue:
    """The number of each value's bin."""
    bins, missing = bins_of(spec), len(bins_of(spec))
    if spec["kind"] != "number":
        text = _as_text(column, spec["kind"])
        named = [(text == of.text, i) for i, of in enumerate(bins[:-1])]
        return ibis.cases(*named, (text.notnull(), missing - 1), else_=missing).cast("int32")
    number = column.try_cast("float64") if column.type().is_string() else column.cast("float64")
    below = [(number <= _exactly(upper), i) for i, upper in enumerate(thresholds(spec))]
    # NaN is larger than every number, for every engine.
    infinite = number < _exactly(-MAX_NUMBER), missing
    return ibis.cases(infinite, *below, (number <= _exactly(MAX_NUMBER), missing - 1), else_=missing).cast(
        "int32"
    )


def _as_text(column: ir.Column, kind: str) -> ir.StringValue:
    """The values as text; a store may return a truth value as a number."""
    if column.type().is_floating():
        column = ibis.ifelse(column.isnan(), ibis.null(column.type()), column)
    text = column.cast("string")
    if kind != "boolean":
        return text
    return ibis.cases((text.isin(["1", "1.0"]), "true"), (text.isin(["0", "0.0"]), "false"), else_=text)


def _exactly(number: float) -> ir.FloatingValue:
    """A number, converted from text: 0.1 in a query is a decimal, which engines convert less exactly."""
    return ibis.literal(repr(float(number))).cast("float64")
