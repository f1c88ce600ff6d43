"""Features that a home declares by SQL: their values at any moment, live as offline, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import features
from core.declarations.own_features import FILE, SqlFeature, declared, parse
from core.errors import PatronError
from core.home import Home
from events import lake
from events.identity import Identity
from events.schema import POPULATION, SCHEMAS, Events
from features.group import FeatureGroup
from features.groups import GROUPS, groups_of
from features.groups.own_sql import own_group
from features.live import compiled

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = (date(2024, 5, 1) - date(1970, 1, 1)).days
DECLARED = parse(
    {
        "features": {
            "large_orders_30d": {
                "from": "order_lines",
                "select": "count(DISTINCT order_id) FILTER (WHERE days_ago <= 30 AND amount >= 50)",
                "meaning": "Orders of the last 30 days with a line of 50 or more.",
                "unit": "orders",
                "missing": 0,
            },
            "mean_line": {
                "from": "order_lines",
                "select": "sum(amount) / nullif(count(*), 0)",
                "meaning": "Mean price of a line.",
            },
            "top_category": {
                "from": "order_lines",
                "select": "mode(category ORDER BY category)",
                "meaning": "The most common category.",
            },
            "evenings": {
                "from": "activities",
                "select": "bool_or(hour >= 18)",
                "meaning": "Whether there was an activity in the evening.",
            },
        }
    }
)
GROUP = own_group(DECLARED)
NAMES = list(GROUP.features)
COMPILED = compiled.compile_groups((GROUP,))
CONNECTION = compiled.open_connection()
Line = tuple[int, str, float]  # hours before noon, category and amount


def tables(lines: list[Line]) -> dict[str, pa.Table]:
    by_name = {name: ibis.schema(schema).to_pyarrow().empty_table() for name, schema in SCHEMAS.items()}
    schema = ibis.schema(SCHEMAS["order_lines"]).to_pyarrow()
    rows = [
        {
            "customer_key": 1, "timestamp": (moment := (NOON - timedelta(hours=hours)).replace(tzinfo=None)),
            "received_at": moment, "day": DAY - (hours + 12) // 24, "order_id": f"o{i}", "product_id": "p",
            "category": category, "quantity": 1, "amount": Decimal(amount), "discount": Decimal(0),
        }
        for i, (hours, category, amount) in enumerate(lines)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=schema.names)
    columns = [pa.array(frame[f.name].tolist(), f.type) for f in schema]
    return by_name | {"order_lines": pa.Table.from_arrays(columns, schema=schema)}


def population(as_of: datetime) -> pa.Table:
    schema = ibis.schema(POPULATION).to_pyarrow()
    return pa.table([[1], [as_of.replace(tzinfo=None)], [DAY]], schema=schema)


def live(lines: list[Line], as_of: datetime = NOON) -> dict[str, Any]:
    values = compiled.run(CONNECTION, COMPILED, tables(lines), population(as_of))[GROUP.name].to_pylist()
    return {name: values[0][name] for name in NAMES}


def offline(lines: list[Line], as_of: datetime = NOON) -> dict[str, Any]:
    events = Events(**{name: ibis.memtable(table) for name, table in tables(lines).items()})
    values = GROUP.compute(events, ibis.memtable(population(as_of)))
    row = lake.connect().to_pyarrow(values).to_pylist()[0]
    return {name: row[name] for name in NAMES}


LINES: list[Line] = [(2, "tea", 60.0), (30, "tea", 20.0), (24 * 40, "cups", 90.0)]


def test_values_and_types_are_those_of_the_sql() -> None:
    assert NAMES == ["own_large_orders_30d", "own_mean_line", "own_top_category", "own_evenings"]
    assert [f.dtype for f in GROUP.features.values()] == ["int64", "float64", "string", "boolean"]
    assert live(LINES) == {
        "own_large_orders_30d": 1, "own_mean_line": pytest.approx(170 / 3), "own_top_category": "tea",
        "own_evenings": None,
    }  # fmt: skip
    assert live([])["own_large_orders_30d"] == 0
    assert live([])["own_mean_line"] is None


@pytest.mark.parametrize("hours", [0, 3, 24 * 2, 24 * 60])
def test_live_values_are_those_of_a_build_and_nothing_later_is_visible(hours: int) -> None:
    as_of = NOON - timedelta(hours=hours)
    assert live(LINES, as_of) == offline(LINES, as_of)
    assert live(LINES, as_of) == live([line for line in LINES if line[0] > hours], as_of)


def test_the_definition_of_a_feature_does_not_depend_on_the_others() -> None:
    alone = own_group(DECLARED[:1])
    assert alone.features[NAMES[0]].definition() == GROUP.features[NAMES[0]].definition()
    changed = own_group([SqlFeature(NAMES[0], "order_lines", "count(*)", "?", "orders", 0)])
    assert changed.features[NAMES[0]].definition() != GROUP.features[NAMES[0]].definition()


def feature(**fields: object) -> dict[str, Any]:
    usual = {"from": "order_lines", "select": "count(*)", "meaning": "How many lines."}
    return {"features": {"lines": {k: v for k, v in {**usual, **fields}.items() if v is not None}}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"feature": {}}, "unknown section feature; features are [features.NAME]"),
        ({"features": {"Lines": {}}}, "[features.Lines]: a name has lower-case letters"),
        (feature(select=None), "[features.lines] needs from, select and meaning"),
        (feature(window=3), "[features.lines] needs from, select and meaning"),
        (feature(select=""), "[features.lines]: select must be a text"),
        (feature(**{"from": "orders"}), "from is 'orders'; use one of order_lines, refunds"),
        (feature(missing=True), "missing must be a number or a text"),
    ],
)
def test_a_declaration_that_is_incomplete_is_refused(content: dict[str, Any], words: str) -> None:
    with pytest.raises(PatronError) as refused:
        parse(content)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ("count(", "select is not understood as SQL"),
        ("count(colour)", '"colour" not found'),
        ("amount", "must appear in the GROUP BY clause"),
        ("count(*), sum(amount)", "select"),
        ("(SELECT count(*) FROM order_lines)", "without queries, tables and windows"),
        ("count(*)) FROM read_csv('/etc/passwd') --", "select"),
        ("row_number() OVER ()", "without queries, tables and windows"),
        ("max(timestamp)", "has the type TIMESTAMP; it must be a number, a text or true and false"),
    ],
)
def test_sql_that_is_no_aggregate_of_the_table_is_refused(select: str, words: str) -> None:
    with pytest.raises(PatronError, match=r"features\.toml: \[features\.lines\]") as refused:
        own_group(parse(feature(select=select)))
    assert words in str(refused.value)


def test_a_home_s_declarations_are_features_of_its_customers(shop_copy: Home, monkeypatch: Any) -> None:
    assert groups_of(shop_copy) == GROUPS
    write(shop_copy.path, "count(DISTINCT order_id)")
    (*usual, own) = groups_of(shop_copy)
    assert tuple(usual) == GROUPS
    assert isinstance(own, FeatureGroup)
    assert groups_of(shop_copy)[-1] is own
    monkeypatch.setenv("PATRON_HOME", str(shop_copy.path))
    backend = lake.connect()
    keys = backend.to_pyarrow(lake.read(shop_copy, backend).order_lines.customer_key).to_pylist()
    assert keys
    ids = pd.DataFrame({"customer_id": some_ids(shop_copy, sorted(set(keys))[:20]), "as_of": "2024-03-01"})
    rows = features.snapshot(ids, ["orders_total", "own_lines"])
    assert rows["own_lines"].astype(float).tolist() == rows["orders_total"].astype(float).tolist()
    write(shop_copy.path, "count(")
    with pytest.raises(PatronError, match="select is not understood as SQL"):
        groups_of(shop_copy)


def write(folder: Path, select: str) -> None:
    text = f'[features.lines]\nfrom = "order_lines"\nselect = "{select}"\nmeaning = "Orders."\nmissing = 0\n'
    (folder / FILE).write_text(text)


def some_ids(home: Home, keys: list[int]) -> list[str]:
    return [str(name) for name in Identity(home).names(np.array(keys)).to_pylist()]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert declared(tmp_path) == ()
    (tmp_path / FILE).write_text("[features")
    with pytest.raises(PatronError, match=r"features\.toml: "):
        declared(tmp_path)
