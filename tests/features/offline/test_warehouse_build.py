"""Builds whose lake is a real PostgreSQL or ClickHouse: each value is that of DuckDB over the same shop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from backup import create, restore
from benchmarks.engines import differing
from benchmarks.harness.postgres import PostgresServer
from benchmarks.warehouse.company import Warehouse, copy_events, home_of
from core.declarations.own_features import SqlFeature
from core.errors import PatronError, StoreUnavailable
from core.home import Home
from core.shop import Clock
from core.storage.database import Database
from events import lake
from events.identity import Identity
from events.lake import shops
from events.queries.timeline import Timeline
from events.warehouse import SOURCE, queries_of
from events.warehouse.backend import connect
from features.catalogue.store import Store
from features.groups import purchases, trait_values
from features.groups.own_sql import own_group
from features.live.consent_statements import of_everybody
from features.live.consents import Consents
from features.offline import build, populations, snapshots
from features.offline.snapshot_set import SnapshotSet
from models.questions import MODELS, OPTIONAL
from models.questions.outcomes import KEYS, labels_of
from tests.features.offline.warehouses import WAREHOUSES, warehouse_of
from training.customers.sample import CustomerSample

pytestmark = pytest.mark.slow
ONE = "purchases-*/*.parquet"
"""The snapshots of one group."""
ON_POSTGRES = pytest.mark.parametrize("company", ["postgres"], indirect=True)
ON_CLICKHOUSE = pytest.mark.parametrize("company", ["clickhouse"], indirect=True)


@pytest.fixture(scope="module", params=WAREHOUSES)
def company(request: pytest.FixtureRequest, postgres: PostgresServer, shop: Home) -> Iterator[Warehouse]:
    """A company's warehouse with the events of the simulated shop."""
    with warehouse_of(request.param, postgres) as warehouse:
        copy_events(shop, warehouse)
        yield warehouse


@pytest.fixture(scope="module")
def home(company: Warehouse, shop: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose lake is the company's database, with the clock of the simulated shop."""
    return home_of(company, shop, tmp_path_factory.mktemp("warehouse") / "home")


@pytest.fixture(scope="module")
def interrupted(home: Home, company: Warehouse) -> set[Path]:
    """The files of the snapshots when the warehouse ended its sessions in the middle of a build."""

    def end_sessions(message: str, _done: float) -> None:
        if message.startswith("segments as of"):
            company.end_sessions()

    with pytest.raises(StoreUnavailable, match="ended the connection; run the command again"):
        build.build(home, False, end_sessions)
    return snapshot_files(home)


@pytest.fixture(scope="module")
def built_there(interrupted: set[Path], home: Home) -> SnapshotSet:
    """The build after the one that was interrupted: today, and the month before."""
    return build.build(home, monthly=False)


def snapshot_files(home: Home) -> set[Path]:
    others = {folder(home) / "consents.parquet", *(folder(home) / "digests").glob("*")}
    paths = {*folder(home).rglob("*.parquet")} - others
    return {path.relative_to(folder(home)) for path in paths}


def folder(home: Home) -> Path:
    return home.snapshots / lake.metadata(home).generation


def test_an_interrupted_build_leaves_whole_snapshots_only(
    interrupted: set[Path], built_there: SnapshotSet, home: Home, built_shop: Home
) -> None:
    assert interrupted
    assert interrupted < snapshot_files(home)
    for name in interrupted:
        ours, theirs = (pq.read_table(folder(h) / name, partitioning=None) for h in (home, built_shop))
        assert ours.num_rows == theirs.num_rows


def test_every_value_is_that_of_duckdb(built_there: SnapshotSet, home: Home, built_shop: Home) -> None:
    """Floats to 1e-9, everything else exactly; boundaries, habits and key figures too."""
    compared = 0
    for name in sorted(snapshot_files(home)):
        ours, theirs = (pq.read_table(folder(h) / name, partitioning=None) for h in (home, built_shop))
        assert ours.schema.equals(theirs.schema), name
        assert not differing(ours, theirs), name
        compared += ours.num_columns
    assert compared > 250
    assert {len(snapshot.parts) for snapshot in snapshot_files(home)} == {1, 2}
    for name in ("kpis.json", "cohorts.json", "weeks.json"):
        assert (folder(home) / name).read_text() == (folder(built_shop) / name).read_text()


def test_keys_are_those_of_an_import(built_there: SnapshotSet, home: Home, shop: Home) -> None:
    assert Identity(home).table().equals(Identity(shop).table())
    ours, theirs = lake.metadata(home), lake.metadata(shop)
    assert (ours.orders, ours.first_day, ours.last_day) == (theirs.orders, theirs.first_day, theirs.last_day)


def test_the_online_store_is_filled(built_there: SnapshotSet, home: Home, built_shop: Home) -> None:
    keys, names = [1, 2, 3], ["orders_total", "spend_total", "country", "lifecycle_stage"]
    rows = [Store(h).reader(names)(keys).values for h in (home, built_shop)]
    assert rows[0] == rows[1]


def test_consents_are_those_of_the_last_build(built_there: SnapshotSet, home: Home, shop: Home) -> None:
    now = shop.shop().now()
    by_customer = [("customer_key", "ascending"), ("channel", "ascending")]
    ours, theirs = (of_everybody(h, now).sort_by(by_customer) for h in (home, shop))
    assert ours.num_rows > 100
    assert ours.equals(theirs)
    keys = ours["customer_key"].to_pylist()[:50]
    assert Consents(home).of(keys, now) == Consents(shop).of(keys, now)


@pytest.mark.parametrize("name", [*MODELS, *OPTIONAL])
def test_labels_are_those_of_duckdb(built_there: SnapshotSet, home: Home, shop: Home, name: str) -> None:
    model = (MODELS | OPTIONAL)[name]
    now, moment = shop.shop().now(), shop.shop().now() - timedelta(days=200)
    rows = pd.DataFrame({"customer_key": range(1, 601), "as_of": pd.Timestamp(moment).as_unit("us")})
    ours, theirs = (
        labels_of(h, model, 120, rows, now).sort_values(KEYS).reset_index(drop=True) for h in (home, shop)
    )
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9)
    assert theirs["label"].nunique() > 1 or name in OPTIONAL


def test_a_sample_has_the_customers_and_totals_of_duckdb(
    built_there: SnapshotSet, built: SnapshotSet, home: Home, shop: Home
) -> None:
    now, month = built.current, built_there.as_ofs[0]
    drawn, totals = [], []
    for each, snapshot_set in ((home, built_there), (shop, built)):
        sample, backend = CustomerSample(0.5, snapshot_set), lake.backend_of(each)
        everyone = populations.everyone(lake.read(each, backend), now, each.shop().time_zone)
        drawn.append(sorted(backend.to_pyarrow(sample.of_population(everyone).customer_key).to_pylist()))
        for name, cap in (("churn", np.inf), ("clv", 100.0), ("propensity", np.inf)):
            windows = {month: month, now: now - timedelta(days=60)}
            result = sample.totals_of_everyone(each, MODELS[name], 30, windows, now, cap)
            totals.append([(total.customers, total.outcome) for total in result.values()])
    assert drawn[0] == drawn[1]
    assert 200 < len(drawn[0]) < 400
    assert np.all(np.array(totals) > 0)
    np.testing.assert_allclose(totals[:3], totals[3:], rtol=1e-9)


@pytest.mark.parametrize(
    "convert", [trait_values.flag, trait_values.number, trait_values.text, trait_values.day]
)
def test_odd_texts_are_read_alike(home: Home, convert: Callable[[ir.StringValue], ir.Value]) -> None:
    texts = [
        "false", " FALSE\t", "\vno\f", "vf", "是", "ДА", "1e3", "1d", "1.5f", "Infinity", "NaN", ".5", "7.",
        "+3", "0x1F", "2024-02-30", "2024-02-29T10:00:00Z", "1700000000", "1700000000000", "",
        "  ", "a\\b", "it's", 'a "b", c\nd', "%s", None,
    ]  # fmt: skip
    rows = ibis.memtable(pa.table({"place": range(len(texts)), "value": texts}))
    converted = rows.select("place", value=convert(rows.value)).order_by("place")
    results = [h.to_pyarrow(converted).to_pylist() for h in (lake.backend_of(home), lake.connect())]
    assert results[0] == results[1]


def test_nulls_of_a_single_column_are_rows(home: Home) -> None:
    rows = pa.table({"value": pa.array([None, "", " ", None, "a"])})
    backend = lake.backend_of(home)
    for table in (ibis.memtable(rows), ibis.memtable(rows.slice(0, 1))):
        read = backend.to_pyarrow(table)["value"].to_pylist()
        assert Counter(read) == Counter(table.to_pyarrow()["value"].to_pylist())


@ON_POSTGRES
def test_approximate_medians_are_refused_where_there_are_exact_ones(home: Home, tmp_path: Path) -> None:
    approximate = Home(tmp_path / "home", warehouse=home.warehouse)
    approximate.write_shop(replace(home.shop(), approximate=True))
    with pytest.raises(PatronError, match="remove approximate from"):
        lake.backend_of(approximate)


@ON_POSTGRES
def test_a_build_of_orders_only_is_killed_and_goes_on(home: Home, tmp_path: Path) -> None:
    orders = Home(tmp_path / "home", warehouse=home.warehouse)
    settings = home.shop()
    shops.begin_live(orders, settings.time_zone, settings.currency, SOURCE)
    orders.write_shop(settings)
    orders.warehouse_queries.mkdir()
    shutil.copy(home.warehouse_queries / "order_lines.sql", orders.warehouse_queries)
    kill_a_build(orders)
    backend = lake.backend_of(orders)
    customers = backend.to_pyarrow(lake.read(orders, backend).order_lines.customer_key.nunique()).as_py()
    left = {path: path.stat().st_mtime_ns for path in orders.snapshots.rglob(ONE)}
    built = build.build(orders, monthly=False)
    assert left
    assert left.items() <= {path: path.stat().st_mtime_ns for path in orders.snapshots.rglob(ONE)}.items()
    assert len(built.table(purchases, built.current)) == customers > 0


def kill_a_build(home: Home) -> None:
    """Begin a build in a process, which ends by SIGKILL once it has stored a snapshot."""
    variables = os.environ | {"PATRON_HOME": str(home.path), "PATRON_WAREHOUSE": str(home.warehouse)}
    process = subprocess.Popen([sys.executable, "-m", "patron", "build", "--no-monthly"], env=variables)
    while process.poll() is None and not any(home.snapshots.rglob(ONE)):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL


@ON_CLICKHOUSE
def test_clickhouse_refuses_a_wrong_password_and_a_wrong_name(home: Home, company: Warehouse) -> None:
    address = company.address.replace("open-sesame", "close-sesame")
    with pytest.raises(StoreUnavailable, match="refuses the login; see that") as caught:
        lake.backend_of(replace(home, warehouse=address))
    assert "sesame" not in str(caught.value)
    backend = lake.backend_of(home)
    with pytest.raises(PatronError, match="refuses a query: Unknown expression identifier `sku`"):
        backend.types_of("SELECT sku FROM order_lines")
    with pytest.raises(PatronError, match=r"failed at a query \(CANNOT_PARSE_TEXT, 6\)") as caught:
        backend.types_of("SELECT toInt64('Ada Lovelace') AS amount")
    assert "Ada" not in str(caught.value)


def test_own_sql_is_translated(built_there: SnapshotSet, home: Home, shop: Home) -> None:
    select = "avg(amount) FILTER (WHERE days_ago <= 365 AND regexp_matches(product_id, '\\d$'))"
    group = own_group([SqlFeature("own_mean", "order_lines", select, "currency", "Mean of a line.", None)])
    results = []
    for each in (home, shop):
        backend = lake.backend_of(each)
        events = lake.read(each, backend)
        everyone = populations.everyone_at(events, [built_there.current], each.shop().time_zone)
        values = group.compute(events, everyone).order_by("customer_key")
        results.append(backend.to_pyarrow(values)["own_mean"].to_numpy())
    assert np.isfinite(results[0]).any()
    np.testing.assert_allclose(*results, rtol=1e-9)


def test_the_timeline_of_a_customer_is_read_there(built_there: SnapshotSet, home: Home, shop: Home) -> None:
    ours, theirs, now = Timeline(home), Timeline(shop), shop.shop().now()
    kinds = Counter[str]()
    for key in range(1, 60, 7):
        page = theirs.page(key, now, 1000)
        assert ours.page(key, now, 1000) == page
        kinds.update(event.position.kind for event in page.events)
        if page.events:
            below = page.events[len(page.events) // 2].position
            assert ours.page(key, now, 3, below) == theirs.page(key, now, 3, below)
    assert kinds.keys() == {"order", "refund", "trait", "activity"}
    gone = sa.make_url(str(home.warehouse)).set(port=1).render_as_string(hide_password=False)
    with pytest.raises(StoreUnavailable, match="see that the server runs and PATRON_WAREHOUSE is right"):
        Timeline(replace(home, warehouse=gone)).page(1, now, 10)


def test_a_query_of_a_request_ends_in_time(home: Home) -> None:
    session = connect(home.warehouse)
    session.limit_queries(1)
    with pytest.raises(StoreUnavailable, match="ended the connection"):
        session.run({"postgres": "SELECT pg_sleep(20)", "clickhouse": "SELECT sleep(3)"}[session.name])
    session.disconnect()


def test_single_customers_are_not_read_there(built_there: SnapshotSet, home: Home) -> None:
    with pytest.raises(PatronError, match="are in its warehouse"):
        lake.arrived(home, Database(home))
    with pytest.raises(PatronError, match="are in its warehouse"):
        lake.read(home, lake.connect())


@ON_POSTGRES
def test_a_restored_home_reads_the_same_warehouse(
    built_there: SnapshotSet, home: Home, company: Warehouse, tmp_path: Path
) -> None:
    create.create(home, tmp_path / "backup")
    restored = Home(tmp_path / "restored", warehouse=home.warehouse)
    restore.restore(tmp_path / "backup", restored)
    assert queries_of(restored, company.dialect) == queries_of(home, company.dialect)
    assert build.build(restored, monthly=False).folders.keys() == built_there.folders.keys()
    assert Identity(restored).table().equals(Identity(home).table())


def test_the_next_build_begins_with_the_last_one(
    built_there: SnapshotSet,
    home: Home,
    company: Warehouse,
    copy_into: Callable[[Home, Path], Home],
    tmp_path: Path,
) -> None:
    """A day later: an order of a new customer, a late order, and an order that the company deleted."""
    home = replace(copy_into(home, tmp_path / "home"), warehouse=company.address)
    before, customers = snapshot_files(home), len(Identity(home).table())
    identity, until = Identity(home), built_there.current + timedelta(days=1)
    late, deleted = identity.ids([1, 2]).values()
    for customer, days in (("somebody new", 0.5), (late, 40)):
        placed, arrived = (f"'{t:%Y-%m-%d %H:%M:%S}+00:00'" for t in (until - timedelta(days=days), until))
        company.execute(
            'INSERT INTO order_lines (customer_id, "timestamp", received_at, order_id, quantity, amount)'
            f" VALUES ('{customer}', {placed}, {arrived}, 'N{days}', 1, 99.5)"
        )
    company.execute(f"DELETE FROM order_lines WHERE customer_id = '{deleted}'")
    home.write_shop(replace(home.shop(), clock=Clock(until + timedelta(hours=1))))
    later = build.build(home, monthly=False)
    assert later.computed.startswith("only what has changed since")
    key = identity.keys(["somebody new"])["somebody new"]
    assert key == customers + 1
    everyone = later.everyone(later.current)
    assert tuple(everyone.loc[key, ["orders_total", "spend_total"]]) == (1, 99.5)
    assert everyone.loc[2, "orders_total"] == 0
    # The month before, and the former present, which may still be read, stay as they are.
    assert before <= snapshot_files(home)
    step = {
        group: path.rename(tmp_path / f"{group}.parquet") for group, path in later.current_files().items()
    }
    snapshots.store(home, [later.current])
    for group, path in later.current_files().items():
        whole, advanced = (pq.read_table(file, partitioning=None) for file in (path, step[group]))
        assert whole.schema.equals(advanced.schema)
        assert not differing(whole, advanced), group
