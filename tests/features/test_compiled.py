"""Compiled definitions over a few customers give, bit for bit, what the definitions give over everyone."""

from __future__ import annotations

from datetime import UTC, datetime

import ibis
import numpy as np
import pyarrow as pa
import pytest

from core.calendar import day_of
from core.home import Home
from core.storage.database import Database
from events import lake
from events.lake.buckets import History
from events.schema import POPULATION, STORED
from features.group import FeatureGroup
from features.groups import FEATURES, GROUPS
from features.live import compiled
from features.live.recompute import valid_at
from features.offline import boundaries
from features.text.opinions import TextReader

ZONE = "Europe/Berlin"
AS_OF = datetime(2024, 6, 20, 10, 20, 30, 123_456, tzinfo=UTC)
NOBODY = 10**9


def population(keys: list[int]) -> pa.Table:
    at, day = AS_OF.replace(tzinfo=None), day_of(AS_OF, ZONE)
    schema = ibis.schema(POPULATION).to_pyarrow()
    return pa.table([keys, [at] * len(keys), [day] * len(keys)], schema=schema)


@pytest.fixture(scope="module")
def keys(shop: Home) -> list[int]:
    everybody = range(1, 601)
    return [*sorted(np.random.default_rng(5).choice(everybody, 60, replace=False).tolist()), NOBODY]


@pytest.fixture(scope="module")
def whole(built_shop: Home, keys: list[int]) -> dict[str, pa.Table]:
    """By group what the definitions give over the whole history."""
    backend = lake.connect()
    events = boundaries.load_events(FEATURES.values(), built_shop, backend, [AS_OF])
    request = backend.create_table("population", population(keys), temp=True)
    return {
        group.name: backend.to_pyarrow(group.compute(events, request).order_by("customer_key"))
        for group in GROUPS
    }


@pytest.fixture(scope="module")
def few(built_shop: Home, keys: list[int]) -> dict[str, pa.Table]:
    """The same customers by compiled definitions over their own events, one half after the other."""
    history = History(built_shop, Database(built_shop))
    connection, result = compiled.open_connection(), []
    divided, reader = boundaries.table(boundaries.current_files(built_shop, AS_OF)), TextReader.of(built_shop)
    for part in (keys[:1], keys[1:20], keys[20:]):
        given = valid_at(history.of(part), AS_OF)
        tables = {**given, "opinions": reader.opinions(given["activities"]), "boundaries": divided}
        result.append(compiled.run(connection, compiled.compile_groups(), tables, population(part)))
    return {name: pa.concat_tables([part[name] for part in result]) for name in result[0]}


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_few_customers_have_what_the_whole_gives_them(
    group: FeatureGroup, whole: dict[str, pa.Table], few: dict[str, pa.Table]
) -> None:
    assert few[group.name].schema.names == ["customer_key", "as_of", *group.features]
    for name in group.features:
        # As lists of the bits, where they are floats: 0.1 + 0.2 is not 0.3.
        assert few[group.name][name].to_pylist() == whole[group.name][name].to_pylist(), name


def test_the_comparison_is_about_something(few: dict[str, pa.Table]) -> None:
    given = {name: table[name] for table in few.values() for name in table.column_names}
    assert {*FEATURES} <= {*given}
    constant = [name for name in FEATURES if len(given[name].unique()) == 1]
    assert len(constant) < len(FEATURES) / 3, constant
    assert {"value_tier", "rfm_segment", "lifecycle_stage", "median_gap_days"}.isdisjoint(constant)


def test_boundaries_are_those_in_force(built_shop: Home) -> None:
    files = boundaries.current_files(built_shop, AS_OF)
    midnight = "20240531T220000Z", "20231231T230000Z"  # of the first of June and of January
    assert [file.name for file in files] == [
        f"measures-{midnight[0]}.parquet",
        f"taste-{midnight[1]}.parquet",
    ]
    assert not boundaries.missing(built_shop, AS_OF)
    assert boundaries.current_files(built_shop, datetime(2022, 1, 1, tzinfo=UTC)) == ()


def test_events_of_a_few_have_exactly_the_canonical_columns(built_shop: Home, keys: list[int]) -> None:
    history = History(built_shop, Database(built_shop))
    backend = lake.connect()
    there = lake.read(built_shop, backend)
    for name, table in history.of(keys).items():
        assert table.schema == ibis.schema(STORED[name]).to_pyarrow()
        whole = getattr(there, name)
        own = backend.to_pyarrow(whole.filter(whole.customer_key.isin(keys)))
        columns = [(column, "ascending") for column in table.column_names]
        assert table.sort_by(columns).equals(own.sort_by(columns)), name
