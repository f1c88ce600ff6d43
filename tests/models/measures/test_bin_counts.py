"""Counts of bins by Ibis are those of a loop over the values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from core.storage.duckdb_engine import connect
from models.measures.bin_counts import DAYS, count_bins
from models.measures.bins import cuts_of, thresholds, to_significant
from models.measures.reference import describe

ROWS = 4_000


def by_a_loop(spec: Mapping[str, Any], values: list[Any], days: list[int]) -> list[float]:
    """The customers per bin, of whom each value is one of several days."""
    uppers = cuts_of(spec).tolist() if spec["kind"] == "number" else spec["values"]
    counts = [0.0] * (len(uppers) + 2)
    for value, each in zip(values, days, strict=True):
        counts[place(spec, uppers, value)] += 1 / each
    return counts


def place(spec: Mapping[str, Any], uppers: list[Any], value: Any) -> int:
    missing = len(uppers) + 1
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return missing
    if spec["kind"] == "number":
        (rounded,) = to_significant(np.array([float(value)]))
        return missing if math.isnan(rounded) else sum(bool(rounded > upper) for upper in uppers)
    text = {True: "true", False: "false"}.get(value, str(value)) if spec["kind"] == "boolean" else str(value)
    return uppers.index(text) if text in uppers else missing - 1


def reference(seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "spend": draw.lognormal(3, 1, ROWS),
            "price": draw.choice([0.1, 0.3, 0.7, 1e-7, 123_456.7], ROWS),  # each a bin of its own
            "change": np.where(draw.random(ROWS) < 0.3, 0.0, draw.normal(0, 100, ROWS)),
            "orders": draw.poisson(2, ROWS),
            "gap": np.where(draw.random(ROWS) < 0.2, np.nan, draw.exponential(30, ROWS)),
            "country": draw.choice(np.array(["DE", "it's", "北京", None], object), ROWS),
            "newsletter": draw.choice(np.array([True, False, None], object), ROWS),
            "never": np.full(ROWS, np.nan),
            "unknown": pd.array([None] * ROWS, "boolean"),
        }
    )


def current(specs: Mapping[str, Mapping[str, Any]]) -> dict[str, pa.Array]:
    """Other values, with those at bounds, just next to them, and none."""
    frame = reference(1)
    columns = {name: pa.array(frame[name], from_pandas=True).to_pylist() for name in frame}
    for name, spec in specs.items():
        if spec["kind"] == "number" and name != "orders":
            uppers = np.concatenate([cuts_of(spec), thresholds(spec)])
            edges = [uppers, np.nextafter(uppers, np.inf), np.nextafter(uppers, -np.inf), uppers * (1 + 4e-6)]
            special = [*np.concatenate(edges).tolist(), math.nan, math.inf, -math.inf, 1.7e308, -0.0, 5e-324]
            columns[name][: len(special)] = special
    columns["country"][:3] = ["DE ", "de", ""]
    return {name: pa.array(values) for name, values in columns.items()}


def test_counts_are_those_of_a_loop_with_values_at_every_bound() -> None:
    specs = describe(reference(0))["columns"]
    columns = current(specs)
    days = np.random.default_rng(2).integers(1, 4, ROWS)
    table = ibis.memtable(pa.table(columns | {DAYS: pa.array(days)}))
    counts = count_bins(connect(), table, specs)
    assert counts.keys() == specs.keys()
    for name, spec in specs.items():
        assert counts[name].tolist() == pytest.approx(
            by_a_loop(spec, columns[name].to_pylist(), days.tolist())
        )


def test_a_reference_has_the_counts_of_a_loop() -> None:
    frame = reference(3)
    for name, spec in describe(frame)["columns"].items():
        values = pa.array(frame[name], from_pandas=True).to_pylist()
        counts = by_a_loop(spec, values, [1] * ROWS)
        assert [*spec["shares"], spec["missing"]] == [count / ROWS for count in counts]


@pytest.mark.parametrize(
    ("values", "others"),
    [
        (pa.array([1.0, 0.0, None, math.nan]), 0),
        (pa.array([1, 0, None, None]), 0),
        (pa.array(["true", "0.0", None, None]), 0),
        (pa.array([2.0, 0.0, None, math.nan]), 1),
    ],
)
def test_truth_values_are_counted_however_a_store_returns_them(values: pa.Array, others: int) -> None:
    spec = {"kind": "boolean", "values": ["true", "false"]}
    counts = count_bins(connect(), ibis.memtable(pa.table({"x": values})), {"x": spec})
    assert counts["x"].tolist() == [1 - others, 1, others, 2]


def test_a_number_that_became_a_text_is_counted_as_the_number() -> None:
    spec = describe(pd.DataFrame({"x": np.repeat([1.0, 2.0], 100)}))["columns"]["x"]
    rows = ibis.memtable(pa.table({"x": ["1", "2.0", "two", None]}))
    assert sum(count_bins(connect(), rows, {"x": spec})["x"][:-1]) == 2


def test_thresholds_are_the_largest_numbers_of_their_bins() -> None:
    spec = {"kind": "number", "edges": [-12.5, 0.0, 0.3, 1e300], "ties": [0.0, 0.3]}
    uppers, cuts = thresholds(spec), cuts_of(spec)
    assert (to_significant(uppers) <= cuts).all()
    assert (to_significant(np.nextafter(uppers, np.inf)) > cuts).all()
