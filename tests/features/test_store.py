"""Offline and online answer alike: snapshots, the feature store's history and its online rows."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import typeguard

import features as feature_package
from core.errors import NothingThere, PatronError
from core.home import Home
from core.shop import Clock, Shop
from events import lake
from events.identity import Identity
from events.simulation import simulated_shop
from events.simulation.simulate import Plan
from features.catalogue.definitions import definitions
from features.catalogue.store import Store
from features.groups import FEATURES, GROUPS
from features.groups.profile import country, newsletter
from features.groups.purchases import orders_90d, purchases, recency_days
from features.offline import populations, snapshots
from features.offline.snapshot_set import FILE_TIME, SnapshotSet

ROOT = Path(__file__).parents[2]
ALL = list(FEATURES)

every_feature = pytest.mark.parametrize("name", FEATURES)


@pytest.fixture(scope="module")
def store(built_shop: Home) -> Store:
    return Store(built_shop)


@pytest.fixture(scope="module")
def customers(built: SnapshotSet) -> list[int]:
    """Customers of whom something is known, some with few facts, in no order."""
    keys = built.frame(purchases, built.current)["customer_key"].to_numpy()
    return np.random.default_rng(5).permutation(keys)[:120].tolist()


@pytest.fixture(scope="module")
def online(store: Store, customers: list[int]) -> Any:
    return store.reader(ALL)(customers)


@pytest.fixture(scope="module")
def names(built_shop: Home) -> dict[int, str]:
    table = Identity(built_shop).table()
    return dict(zip(table["customer_key"].to_pylist(), table["customer_id"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def offline(built_shop: Home, customers: list[int], names: dict[int, str], online: Any) -> pd.DataFrame:
    """The same customers from the events, each as of the moment of their online row."""
    table_value = pd.DataFrame({"customer_id": [names[key] for key in customers], "as_of": online.as_of})
    return snapshots.snapshot(table_value, home=built_shop)


def plain(values: Any) -> list[Any]:
    """Values as Python's own, null as None, whole numbers as int where pandas widened them."""
    return [None if value is None or pd.isna(value) else value for value in list(values)]


def agree(left: Any, right: Any) -> bool:
    return all(
        a == b or (isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=1e-12))
        for a, b in zip(plain(left), plain(right), strict=True)
    )


@every_feature
def test_online_a_feature_is_what_the_events_say(name: str, offline: pd.DataFrame, online: Any):
    assert agree(online.values[name], offline[name])
    assert any(value is not None for value in online.values[name])


def test_some_online_values_are_missing_and_come_back_as_none(offline: pd.DataFrame, online: Any):
    for name in ("recency_days", "median_gap_days", "average_order_value"):
        assert None in online.values[name]
        assert offline[name].isna().any()


def test_online_types_are_those_of_the_features(online: Any):
    types = {"int64": int, "float64": float, "string": str, "boolean": bool}
    for name, feature in FEATURES.items():
        assert {type(v) for v in online.values[name]} - {type(None)} == {types[feature.dtype]}


def test_an_online_row_keeps_its_moment(online: Any, built_shop: Home):
    assert set(online.as_of) == {built_shop.shop().now()}


def test_someone_unknown_has_neither_values_nor_a_moment(store: Store, customers: list[int]):
    rows = store.reader(ALL)([10**12, customers[0], -1])
    assert rows.as_of[0] is rows.as_of[2] is None
    assert rows.as_of[1] is not None
    assert all(rows.values[name][0] is rows.values[name][2] is None for name in ALL)


def test_rows_come_in_the_order_asked_for_and_as_often(store: Store, customers: list[int], online: Any):
    request = [customers[3], customers[1], customers[3]]
    rows = store.reader(["country", "tenure_days", "spend_total"])(request)
    assert list(rows.values) == ["country", "tenure_days", "spend_total"]
    for name, values in rows.values.items():
        assert values == [online.values[name][i] for i in (3, 1, 3)]


def test_the_moment_of_a_row_is_the_oldest_of_its_groups(
    built_shop: Home, built: SnapshotSet, copy_home: Callable[[Home], Home]
):
    store = Store(copy_home(built_shop))
    row = built.frame(purchases, built.current).iloc[:1]
    later = built.current + timedelta(hours=5)
    store.write_online({"purchases": row.assign(as_of=later, created_at=later)})
    keys = row["customer_key"].tolist()
    assert store.reader(ALL)(keys).as_of == [built.current]
    assert store.reader(["orders_total"])(keys).as_of == [later]


@pytest.fixture(scope="module")
def history(
    built_shop: Home, built: SnapshotSet, names: dict[int, str], store: Store
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Questions as of three moments in no order: the store's answers and the events' own."""
    parts = []
    for as_of in (built.as_ofs[3], built.as_ofs[-9], built.current):
        keys = built.frame(purchases, as_of)["customer_key"].to_numpy()
        parts.append(pd.DataFrame({"customer_key": keys[::5], "as_of": as_of}))
    request = pd.concat(parts).sample(frac=1, random_state=4).reset_index(drop=True)
    by_id = pd.DataFrame({"customer_id": request["customer_key"].map(names), "as_of": request["as_of"]})
    stored = store.historical(request, ALL)
    assert stored["customer_key"].tolist() == request["customer_key"].tolist()
    assert stored["as_of"].tolist() == request["as_of"].tolist()
    return stored, snapshots.snapshot(by_id, home=built_shop)


@every_feature
def test_the_stored_history_is_what_the_events_say(name: str, history: tuple[pd.DataFrame, pd.DataFrame]):
    stored, computed = history
    assert agree(stored[name], computed[name])


def test_a_stored_snapshot_answers_later_questions_only_while_it_is_fresh(store: Store, built: SnapshotSet):
    as_of = built.as_ofs[-3]
    frame = built.frame(purchases, as_of).iloc[:5]
    for days, bought_known in ((1, True), (3, False)):
        request = frame[["customer_key"]].assign(as_of=as_of + timedelta(days=days))
        result = store.historical(request, ["orders_total", "known_days"])
        assert result["known_days"].notna().all()
        assert result["orders_total"].notna().all() == bought_known


ELSEWHERE = """
import json, sys
from pathlib import Path
import pandas as pd
from features.offline import snapshots
from features.groups import GROUPS
from features.groups.purchases import purchases
from core.home import Home
from features.catalogue.store import Store

read_only, own = Home(Path(sys.argv[1])), Home(Path(sys.argv[2]))
ids, keys, names = json.loads(sys.argv[3])

def told(rows):
    return {"as_of": [str(m) for m in rows.as_of], "values": rows.values}

before = told(Store(read_only).reader(names)(keys))
built = snapshots.build(own)
store = Store(own)
for group in GROUPS:
    store.write_online({group.name: built.frame(group, built.current)})
after = told(store.reader(names)(keys))
asked = pd.DataFrame({"customer_id": ids, "as_of": "2023-11-05"})
offline = snapshots.snapshot(asked, home=own)
past = built.as_ofs[-4]
stored = store.historical(pd.DataFrame({"customer_key": keys, "as_of": past}), names)
print(json.dumps({"before": before, "after": after, "current": str(built.current),
                  "offline": json.loads(offline.to_json(orient="records", date_format="iso")),
                  "stored": json.loads(stored.to_json(orient="records", date_format="iso"))}))
"""


def test_a_process_in_another_time_zone_reads_and_writes_the_same(
    built_shop: Home,
    built: SnapshotSet,
    store: Store,
    copy_home: Callable[[Home], Home],
    customers: list[int],
    names: dict[int, str],
):
    own, keys = copy_home(built_shop), customers[:20]
    request = json.dumps([[names[key] for key in keys], keys, ALL])
    environment = os.environ | {"TZ": "Asia/Shanghai"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ELSEWHERE, str(built_shop.path), str(own.path), request],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    parsed = json.loads(done.stdout)

    here = store.reader(ALL)(keys)
    expected = {"as_of": [str(moment) for moment in here.as_of], "values": here.values}
    assert parsed["current"] == str(built.current)
    assert parsed["before"] == expected
    assert parsed["after"] == expected
    written_there = Store(own).reader(ALL)(keys)
    assert written_there == here

    def records(frame: pd.DataFrame) -> Any:
        return json.loads(frame.to_json(orient="records", date_format="iso"))

    ids = pd.DataFrame({"customer_id": [names[key] for key in keys], "as_of": "2023-11-05"})
    assert parsed["offline"] == records(snapshots.snapshot(ids, home=built_shop))
    past = pd.DataFrame({"customer_key": keys, "as_of": built.as_ofs[-4]})
    assert parsed["stored"] == records(store.historical(past, ALL))


def test_the_catalogue_holds_the_definitions_it_was_filled_by(store: Store):
    assert store.definitions() == definitions(store.home)
    assert store.definitions().keys() == FEATURES.keys()


def test_a_service_is_published_under_its_name(built_shop: Home, copy_home: Callable[[Home], Home]):
    store = Store(copy_home(built_shop))
    assert store.services() == []
    store.publish_service("churn_v2", ["country", "orders_90d"])
    store.publish_service("churn_v1", ["orders_90d"])
    assert Store(store.home).services() == ["churn_v1", "churn_v2"]


def test_an_unknown_feature_is_named(store: Store):
    for ask in (store.reader, lambda f: store.historical(pd.DataFrame(), f)):
        with pytest.raises(PatronError, match="does not hold shoe_size; run `patron build`"):
            ask(["orders_90d", "shoe_size"])


def test_without_a_build_the_store_says_so(shop_copy: Home):
    store = Store(shop_copy)
    for ask in (store.definitions, lambda: store.reader(["orders_90d"])):
        with pytest.raises(NothingThere, match="run `patron build`"):
            ask()


def test_a_lost_or_damaged_online_store_is_an_error_for_a_person(
    built_shop: Home, copy_home: Callable[[Home], Home]
):
    store = Store(copy_home(built_shop))
    store.online_file.write_bytes(b"this is no database" * 1000)
    with pytest.raises(PatronError, match=r"online\.db cannot be read .*; run `patron build`"):
        store.reader(["orders_90d"])([1])
    store.online_file.unlink()
    read = Store(store.home).reader(["orders_90d"])
    with pytest.raises(NothingThere, match=r"online\.db is missing; run `patron build`"):
        read([1])
    assert not store.online_file.exists()


# Snapshots


def test_a_snapshot_keeps_the_order_and_the_repeats_of_its_population(built_shop: Home):
    table_value = pd.DataFrame(
        {
            "customer_id": ["C000009", "C000004", "C000009", "C000004", "C000009"],
            "as_of": ["2024-01-01", "2023-01-01", "2023-06-01", "2023-01-01", "2024-01-01"],
        },
        index=[5, 5, 1, 0, 9],
    )
    result = feature_package.snapshot(table_value, [orders_90d, "tenure_days", country], home=built_shop)
    assert list(result.columns) == ["customer_id", "as_of", "orders_90d", "tenure_days", "country"]
    assert result["customer_id"].tolist() == table_value["customer_id"].tolist()
    assert result.iloc[1].equals(result.iloc[3])
    assert result.iloc[0].equals(result.iloc[4])
    assert result.index.tolist() == [0, 1, 2, 3, 4]


def test_a_moment_without_a_zone_is_the_shops(built_shop: Home):
    ids = ["C000009"]
    local = snapshots.snapshot(
        pd.DataFrame({"customer_id": ids, "as_of": ["2023-07-01"]}), [recency_days], built_shop
    )
    assert local["as_of"].tolist() == [datetime(2023, 6, 30, 22, tzinfo=UTC)]
    for moment in (datetime(2023, 6, 30, 22, tzinfo=UTC), pd.Timestamp("2023-07-01 06:00+08:00")):
        same = snapshots.snapshot(
            pd.DataFrame({"customer_id": ids, "as_of": [moment]}), [recency_days], built_shop
        )
        pd.testing.assert_frame_equal(same, local)


@pytest.mark.parametrize(
    ("population", "wanted", "message"),
    [
        ({"customer_id": ["C000001"]}, None, "no column as_of"),
        ({"as_of": ["2023-01-01"]}, None, "no column customer_id"),
        ({"customer_id": ["C000001"], "as_of": ["2023-01-01"]}, ["shoe_size"], "no feature 'shoe_size'"),
        ({"customer_id": ["C1", "C2", "C1", "C000001"], "as_of": "2023-01-01"}, None, "2 of the customers"),
    ],
)
def test_what_cannot_be_asked_is_said_without_naming_customers(
    built_shop: Home, population: dict[str, Any], wanted: list[str] | None, message: str
):
    with pytest.raises(PatronError, match=message) as caught:
        snapshots.snapshot(pd.DataFrame(population), wanted, built_shop)
    assert not re.search(r"C\d", str(caught.value).replace(str(built_shop.path), ""))


def test_without_a_shop_a_snapshot_says_what_to_do(tmp_path: Path):
    table_value = pd.DataFrame({"customer_id": ["a"], "as_of": ["2023-01-01"]})
    with pytest.raises(NothingThere, match="run `patron simulate` or `patron import FILE`"):
        snapshots.snapshot(table_value, home=Home(tmp_path))


def test_a_build_stores_every_month_and_the_present(built: SnapshotSet, built_shop: Home):
    assert built.as_ofs == (*populations.origins(built_shop), built_shop.shop().now())
    for group in GROUPS:
        for as_of in built.as_ofs:
            frame = built.frame(group, as_of)
            assert set(frame["as_of"]) == set(frame["created_at"]) == {as_of}
            assert list(frame.columns) == ["customer_key", "as_of", *group.features, "created_at"]
            assert frame["customer_key"].is_monotonic_increasing
            assert frame["customer_key"].is_unique
    sizes = [len(built.frame(purchases, as_of)) for as_of in built.as_ofs]
    assert sizes == sorted(sizes)
    assert 0 < sizes[0] < sizes[-1]


def test_stored_numbers_stay_whole_where_some_are_missing(built: SnapshotSet):
    frame = built.frame(purchases, built.current)
    assert frame["recency_days"].isna().any()
    assert str(frame["recency_days"].dtype) == "Int64"
    assert str(built.frame(newsletter.group, built.current)["newsletter"].dtype) == "boolean"


def test_stored_columns_have_the_types_of_their_features(built: SnapshotSet):
    arrow = {"int64": "int64", "float64": "double", "string": "string", "boolean": "bool"}
    for group in GROUPS:
        for as_of in built.as_ofs:
            schema = pq.read_schema(built.folders[group.name] / f"{as_of:{FILE_TIME}}.parquet")
            for feature in group.features.values():
                assert str(schema.field(feature.name).type) == arrow[feature.dtype], feature


def test_everyone_known_at_a_moment_is_asked_about(built: SnapshotSet, shop: Home):
    backend = lake.connect()
    as_of = built.as_ofs[5]
    seen = set()
    for _, table in lake.read(shop, backend).items():
        rows = table.select("customer_key", "timestamp", "received_at").execute()
        cut = pd.Timestamp(as_of).tz_localize(None)
        seen |= set(rows["customer_key"][(rows["timestamp"] < cut) & (rows["received_at"] <= cut)])
    assert built.frame(purchases, as_of)["customer_key"].tolist() == sorted(seen)


def test_building_again_computes_nothing(built_shop: Home, copy_home: Callable[[Home], Home]):
    home = copy_home(built_shop)
    files = sorted(home.snapshots.rglob("*.parquet"))
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}
    assert len(files) > 50
    snapshots.build(home)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in files} == before
    assert sorted(home.snapshots.rglob("*.parquet")) == files


def test_the_present_alone_can_be_built(shop_copy: Home):
    built = snapshots.build(shop_copy, monthly=False)
    month_before = datetime(2024, 5, 31, 22, tzinfo=UTC)  # which segments are compared with
    assert built.as_ofs == (month_before, built.current)
    files = [path for folder in built.folders.values() for path in folder.glob("*.parquet")]
    assert len(files) == 2 * len(GROUPS)


def test_an_interrupted_file_is_no_snapshot(shop_copy: Home):
    built = snapshots.build(shop_copy, monthly=False)
    path = next(built.folders["purchases"].glob("*.parquet"))
    expected = pq.read_table(path)
    path.rename(path.with_suffix(".draft"))
    again = snapshots.build(shop_copy, monthly=False)
    assert again.as_ofs == built.as_ofs
    pd.testing.assert_frame_equal(pq.read_table(path).to_pandas(), expected.to_pandas(), rtol=1e-12)


def test_other_events_leave_no_old_snapshot(shop_copy: Home):
    old = snapshots.build(shop_copy, monthly=False)
    plan = Plan(**{**plan_of(shop_copy), "seed": 12, "customers": 40})
    simulated_shop.write(shop_copy, plan, old.current, lambda message, share: None)
    shop_copy.write_shop(Shop("simulate", plan.time_zone, plan.currency, Clock(old.current)))
    new = snapshots.build(shop_copy, monthly=False)
    assert new.folders["purchases"] != old.folders["purchases"]
    assert [path.name for path in shop_copy.snapshots.iterdir()] == [lake.metadata(shop_copy).generation]


def plan_of(home: Home) -> dict[str, Any]:
    stored_value = lake.metadata(home).plan
    return {**stored_value, "start": datetime.fromisoformat(stored_value["start"]).date()}


def test_feast_leaves_metrics_to_the_process_that_imports_it(store: Store):
    assert not {name for name in os.environ if name.startswith("PROMETHEUS_MULTIPROC")}
    assert typeguard.typechecked.__module__.startswith("typeguard")
