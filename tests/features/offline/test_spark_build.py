"""A build by Spark: a real one, on two cores of this machine; its values are those of a build by DuckDB."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from moto.server import ThreadedMotoServer
from pyspark.sql import SparkSession

import records
from benchmarks.engines import differing
from benchmarks.harness.servers import HOST
from core import home_id
from core.calendar import micros
from core.declarations.own_features import SqlFeature
from core.errors import PatronError
from core.home import Home
from core.settings import FeatureSettings
from core.shop import Clock
from core.storage import spark_engine
from core.storage.database import Database
from events import journal, lake
from events.identity import Identity
from events.journal.message import Message
from events.queries.decision_events import decision_events, orders_of_decisions
from events.queries.net_orders import net_orders
from features.catalogue.registry import import_feast
from features.catalogue.store import Store
from features.group import KEYS
from features.groups import groups_of, trait_values
from features.groups.own_sql import own_group
from features.groups.price import price
from features.offline import populations, snapshots
from features.offline.engines import GroupSnapshots, SnapshotFile, online_rows
from features.offline.engines.exchange import open_exchange, place_of, replacing
from features.offline.engines.executors import Cluster, Executors, failures
from features.offline.engines.snapshot_columns import SnapshotColumns
from features.offline.engines.spark import SparkBuild, spark_build
from features.offline.snapshot_set import SnapshotSet
from features.text import opinions
from models.registry.registry import Registry
from monitoring.check import check, scored_rows
from monitoring.run import current_rows
from records import ScoreLog, score_jobs
from records.job import COMMAND
from records.score_jobs import ScoreJobStore
from serving.files import tables
from serving.score_jobs import by_spark
from serving.score_jobs.by_spark import ChunkTask
from serving.score_jobs.scoring import create_job, score_job
from serving.scores.batches import batch
from serving.scores.scorer import open_scorer

pytestmark = pytest.mark.slow
MASTER = "local[2,4]"  # two cores, four attempts per task
CLUSTER = Cluster(MASTER)
UNTIL = datetime(2024, 7, 1, 9, 30, tzinfo=UTC)  # the clock of the shop
COMPUTED_FOR_EVERYONE = ["price"]  # as of the month, since DuckDB did not store it
# A small shop: compiling queries would take longer than computing them.
CONFIGURATION = """
spark.sql.codegen.factoryMode NO_CODEGEN
spark.sql.codegen.wholeStage false
spark.sql.shuffle.partitions 2
"""


@pytest.fixture(scope="module")
def storages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """By name, the addresses of storages that executors and this process reach, all of them empty."""
    folder = tmp_path_factory.mktemp("storages")
    s3 = ThreadedMotoServer(HOST, port=0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "patron", "AWS_SECRET_ACCESS_KEY": "secret",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        place_of("s3://shop")[0].mkdir("shop")
        yield {"file": f"file://{folder}", "s3": "s3://shop/patron"}
    s3.stop()


@pytest.fixture(scope="module")
def environment(storages: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The configuration of a cluster, as its operator writes it."""
    folder = tmp_path_factory.mktemp("spark-conf")
    (folder / "spark-defaults.conf").write_text(CONFIGURATION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(folder))
        patch.setenv("PATRON_SPARK_MASTER", MASTER)
        yield


@pytest.fixture(scope="module")
def home(
    shop: Home, copy_into: Callable[[Home, Path], Home], tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """A shop whose features are not built yet."""
    return copy_into(shop, tmp_path_factory.mktemp("spark") / "home")


@pytest.fixture(scope="module")
def month(built: SnapshotSet) -> datetime:
    """The first of the month with whose snapshots the build begins."""
    (before,) = populations.month_before(built.as_ofs[:-1], built.current)
    return before


@pytest.fixture(scope="module")
def left_behind(
    environment: None, home: Home, built_shop: Home, built: SnapshotSet, month: datetime
) -> list[Path]:
    """The snapshots that earlier builds stored, and a folder that a killed one left behind.

    They are those of the month by DuckDB, but of one group, and one of the present.
    """
    (home.path / "spark" / "build-killed").mkdir(parents=True)
    stored = [built.path(group, month) for group in built.folders if group not in COMPUTED_FOR_EVERYONE]
    copies = []
    for source in [*stored, built.current_files()["purchases"]]:
        copies.append(home.path / source.relative_to(built_shop.path))
        copies[-1].parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copies[-1])
    return copies


@pytest.fixture(scope="module")
def engine(left_behind: list[Path], home: Home) -> Iterator[SparkBuild]:
    """Spark on two cores."""
    with spark_build(home, CLUSTER) as opened:
        yield opened


@pytest.fixture(scope="module")
def stored(
    engine: SparkBuild, left_behind: list[Path], home: Home, built: SnapshotSet, month: datetime
) -> list[Path]:
    """The files that a build wrote: snapshots of the month, and those of the present made from it."""
    snapshots.store(home, [month, built.current], engine=engine, base=month)
    return sorted({*home.snapshots.rglob("*.parquet")} - {*left_behind})


def read(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read()


def test_a_build_continues_and_removes_what_was_left(
    left_behind: list[Path], stored: list[Path], built_shop: Home, home: Home
) -> None:
    for path in left_behind:
        source = built_shop.path / path.relative_to(home.path)
        assert path.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert len(list((home.path / "spark").glob("build-*"))) == 1  # its own


def test_every_value_is_that_of_duckdb(stored: list[Path], home: Home, built_shop: Home) -> None:
    """Floats to 1e-9, everything else exactly; the boundaries of segments too.

    DuckDB computed the present from the whole history since the month, Spark from the month's snapshots.
    """
    names = {path.parent.name.partition("-")[0] for path in stored}
    assert names == {group.name for group in groups_of(home)} - {"purchases"} | {"boundaries"}
    compared = 0
    for path in stored:
        ours, theirs = read(path), read(built_shop.path / path.relative_to(home.path))
        assert ours.schema.equals(theirs.schema), path
        assert not differing(ours, theirs), path
        compared += ours.num_columns
    assert compared > 100


def bought(message_id: str, customer_id: str, order_id: str, *, joins: str | None = None) -> Message:
    """An order of one line without product, category and discount."""
    placed, received = UNTIL - timedelta(days=9), UNTIL - timedelta(days=8)
    day = (placed.date() - date(1970, 1, 1)).days
    line = [micros(placed), micros(received), day, order_id, None, None, 1, "12.5000", None]
    return Message(message_id, received, customer_id, joins=joins, rows={"order_lines": [line]})


def test_events_that_arrived_and_merges_are_read_alike(engine: SparkBuild, shop_copy: Home) -> None:
    messages = [
        bought("m1", "device", "X1"),
        bought("m2", "somebody", "X2"),
        bought("m3", "somebody", "X2"),  # a second version
        bought("m4", "somebody", "X3", joins="device"),
    ]
    journal.append(Database(shop_copy), messages, compacted_seq=lake.current(shop_copy).compacted_seq)
    local = lake.connect()
    expected, actual = (lake.read(shop_copy, backend) for backend in (local, engine.backend))
    assert expected.merges is not None
    for (name, table), (_, on_spark) in zip(expected.items(), actual.items(), strict=True):
        in_order = [(column, "ascending") for column in table.columns]
        rows = local.to_pyarrow(table).sort_by(in_order)
        assert engine.backend.to_pyarrow(on_spark).sort_by(in_order).equals(rows), name


def test_what_results_read_of_events_is_alike(engine: SparkBuild, shop_copy: Home) -> None:
    placed, received = micros(UNTIL - timedelta(days=9)), micros(UNTIL - timedelta(days=8))
    day = (placed // 1_000_000) // 86_400
    rows = [
        [placed + i, received, day, 9, name, kind, "push", "d1", None, None, None, properties]
        for i, (name, kind, properties) in enumerate(
            [
                ("Action Shown", None, '{"decision_id": "d1"}'),
                ("Order Completed", None, '{"decision_id": "d1", "order_id": "X1"}'),
                ("Email Opened", "opened", '{"decision_id": "d1"}'),
                ("Email Opened", "opened", "{}"),
            ]
        )
    ]
    message = Message("m1", UNTIL - timedelta(days=8), "somebody", rows={"activities": rows})
    journal.append(Database(shop_copy), [message], compacted_seq=lake.current(shop_copy).compacted_seq)
    known = [lake.read(shop_copy, backend).known_at(UNTIL) for backend in (lake.connect(), engine.backend)]
    for read_events in (
        decision_events,
        orders_of_decisions,
        partial(net_orders, since=UNTIL - timedelta(90)),
    ):
        local, on_spark = (read_events(events) for events in known)
        assert len(local)
        pd.testing.assert_frame_equal(on_spark, local, check_dtype=False)


@pytest.mark.parametrize(
    "convert", [trait_values.flag, trait_values.number, trait_values.text, trait_values.day]
)
def test_odd_texts_are_read_alike(engine: SparkBuild, convert: Callable[[ir.StringValue], ir.Value]) -> None:
    texts = [
        "false", " FALSE\t", "\vno\f", "vf", "是", "1e3", "1d", "1.5f", "Infinity", "NaN", ".5", "7.", "+3",
        "0x1F", "2024-02-30", "2024-02-29T10:00:00Z", "1700000000", "1700000000000", "",
        "  ", "a\\b", "it's", None,
    ]  # fmt: skip
    rows = ibis.memtable(pa.table({"place": range(len(texts)), "value": texts}))
    converted = rows.select("place", value=convert(rows.value)).order_by("place")
    local = lake.connect().to_pyarrow(converted)
    assert engine.backend.to_pyarrow(converted).to_pylist() == local.to_pylist()


def test_the_customers_of_a_sample_are_drawn_alike(engine: SparkBuild) -> None:
    rows = ibis.memtable(pa.table({"customer_key": pa.array([*range(1, 300), 2**62], "int64")}))
    drawn = rows.select(draw=populations.draw(rows.customer_key))
    assert engine.backend.to_pyarrow(drawn).equals(lake.connect().to_pyarrow(drawn))


def test_own_sql_is_translated(engine: SparkBuild, home: Home, built: SnapshotSet) -> None:
    select = "avg(amount) FILTER (WHERE days_ago <= 365 AND regexp_matches(product_id, '\\d$'))"
    group = own_group([SqlFeature("own_mean", "order_lines", select, "currency", "Mean of a line.", None)])
    results = []
    for backend in (engine.backend, lake.connect()):
        events = lake.read(home, backend)
        everyone = populations.everyone_at(events, [built.current], home.shop().time_zone)
        values = group.compute(events, everyone).order_by("customer_key")
        results.append(backend.to_pyarrow(values)["own_mean"].to_numpy())
    assert np.isfinite(results[0]).any()
    np.testing.assert_allclose(*results, rtol=1e-9)


def test_executors_with_other_code_are_refused(engine: SparkBuild, home: Home) -> None:
    events = lake.read(home, engine.backend)
    reader = opinions.TextReader.of(home)
    message = "executors have another version of Patron than this process, or none"
    with ExitStack() as resources:
        other = SparkBuild(replace(engine.executors, sources="0" * 64), resources)
        read = other.with_opinions(events, reader).opinions
        with pytest.raises(PatronError, match=message), failures(home.path, "it computed features"):
            engine.backend.to_pyarrow(read)


def test_a_snapshot_with_missing_rows_gets_no_name(engine: SparkBuild, home: Home, tmp_path: Path) -> None:
    first, second = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
    moments = [first.replace(tzinfo=None)] * 2 + [second.replace(tzinfo=None)]
    rows = {"customer_key": [2, 1, 3], "as_of": moments}
    values = ibis.memtable(
        pa.table(rows, schema=pa.schema([(KEYS[0], pa.int64()), (KEYS[1], pa.timestamp("us"))]))
    )
    path, other = tmp_path / "first.parquet", tmp_path / "second.parquet"
    with pytest.raises(PatronError, match="2 of 3 rows"):
        engine.write([GroupSnapshots(values, [SnapshotFile(first, path, 3)])])
    assert list(tmp_path.iterdir()) == []
    engine.write([GroupSnapshots(values, [SnapshotFile(first, path, 2), SnapshotFile(second, other, 1)])])
    assert [read(file)["customer_key"].to_pylist() for file in (path, other)] == [[1, 2], [3]]


def test_two_builds_by_spark_exclude_each_other(engine: SparkBuild, home: Home) -> None:
    with pytest.raises(PatronError, match="another command uses Spark"), spark_build(home, CLUSTER):
        pass


# Feast


def test_feast_on_spark_reads_the_same_snapshots(engine: SparkBuild, built: SnapshotSet) -> None:
    import_feast()
    import feast
    from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkOfflineStoreConfig
    from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
    from feast.repo_config import RegistryConfig

    staging = Path(engine.executors.exchange.folder)
    store = feast.FeatureStore(
        config=feast.RepoConfig(
            project="analysis", provider="local", registry=RegistryConfig(path=str(staging / "feast.db")),
            offline_store=SparkOfflineStoreConfig(), entity_key_serialization_version=3, repo_path=staging,
        )
    )  # fmt: skip
    customer = feast.Entity(name="customer", join_keys=[KEYS[0]], value_type=feast.ValueType.INT64)
    features = [name for name, feature in price.features.items() if feature.dtype == "float64"]
    with pytest.warns(RuntimeWarning, match="experimental"):  # as Feast calls its support of Spark
        source = SparkSource(
            name="price", path=str(built.folders["price"]), file_format="parquet", timestamp_field="as_of",
            created_timestamp_column="created_at",
        )  # fmt: skip
    schema = [feast.Field(name=name, dtype=feast.types.Float64) for name in features]
    view = feast.FeatureView(
        name="price", entities=[customer], schema=schema, source=source, ttl=price.fresh_for
    )
    store.apply([customer, view])
    moments = [built.as_ofs[-2], built.current]
    expected = pd.concat([built.frame(price, moment)[:20] for moment in moments], ignore_index=True)
    population = expected[list(KEYS)].rename(columns={"as_of": "event_timestamp"})
    with pytest.warns(RuntimeWarning, match="experimental"):
        joined = store.get_historical_features(
            entity_df=population, features=[f"price:{name}" for name in features]
        ).to_df()
    # Feast makes the session, which other tests use, read names of columns as regular expressions.
    SparkSession.active().conf.unset("spark.sql.parser.quotedRegexColumnNames")
    joined = joined.sort_values(["event_timestamp", KEYS[0]], ignore_index=True)
    names = [KEYS[0], *features]
    pd.testing.assert_frame_equal(joined[names], expected[names], check_dtype=False)


# Online rows and scores


def test_online_rows_of_executors_are_the_bytes_of_this_process(
    engine: SparkBuild, built_shop: Home, built: SnapshotSet, redis_address: str
) -> None:
    store = Store(built_shop, FeatureSettings(online_store=redis_address))
    store.online.prepare([*store.layouts().values()])
    filled = []
    with redis.Redis.from_url(redis_address) as client:
        for executors in (None, engine.executors):
            online_rows.fill(store, built, None)
            newer = {"price": built.frame(price, built.current)[:3]}
            newer["price"]["as_of"] = newer["price"]["as_of"] + timedelta(seconds=1)
            store.write_online(newer)
            online_rows.fill(store, built, executors)
            names = sorted(client.scan_iter("patron:online:*"))
            filled.append(dict(zip(names, client.mget(names), strict=True)))
            client.flushdb()
            store.online.prepare([*store.layouts().values()])
    assert len(filled[0]) > 500
    assert filled[0] == filled[1]


@dataclass(frozen=True)
class KilledAtFirst:
    """A task whose process is killed when it has worked for the first time."""

    task: Callable[[int], int]
    mark: Path

    def __call__(self, number: int) -> int:
        done = self.task(number)
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return done


class DriverEnded(Exception):
    """The end of a driver."""


class ExecutorsOfAnEndingDriver(Executors):
    """Executors whose driver ends when a task has worked."""

    def sum(self, _count: int, task: Callable[[int], int]) -> int:
        """The end, after the first task."""
        task(0)
        raise DriverEnded


def test_scores_are_the_bytes_of_those_without_spark(
    engine: SparkBuild, trained_copy: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the driver of an earlier run has ended, and when an executor's process is killed."""
    monkeypatch.setattr(score_jobs, "CHUNK", 250)
    store, champions = ScoreJobStore(trained_copy), open_scorer(trained_copy, None).champions
    jobs = [create_job(store, champions, ["churn", "clv"], segment=None, origin=COMMAND) for _ in range(2)]
    with store.execute(jobs[0]):
        score_job(store, jobs[0], champions, threads=1)
    with pytest.raises(DriverEnded), store.execute(jobs[1]):
        by_spark.score_job(store, jobs[1], champions, ExecutorsOfAnEndingDriver(**vars(engine.executors)))
    assert store.open_chunks(jobs[1]) == [*range(1, jobs[1].chunks)]
    first = store.part(jobs[1], 0).stat().st_mtime_ns
    mark = tmp_path / "killed"
    monkeypatch.setattr(by_spark, "ChunkTask", lambda *fields: KilledAtFirst(ChunkTask(*fields), mark))
    with store.execute(jobs[1]):
        by_spark.score_job(store, jobs[1], champions, engine.executors)
    assert mark.exists()
    assert store.part(jobs[1], 0).stat().st_mtime_ns == first
    files = [b"".join(tables.stream(store, job, "parquet")) for job in jobs]
    assert files[0] == files[1]


def test_drift_is_counted_alike(engine: SparkBuild, trained_copy: Home, tmp_path: Path) -> None:
    """Of two score jobs, a single prediction before them, and a large request between them."""
    store, scorer = ScoreJobStore(trained_copy), open_scorer(trained_copy, None)
    now = trained_copy.shop().now()
    everyone = Identity(trained_copy).table()["customer_id"].to_pylist()

    def execute(at: datetime) -> None:
        trained_copy.write_shop(replace(trained_copy.shop(), clock=Clock(at)))
        job = create_job(store, scorer.champions, ["propensity"], segment=None, origin=COMMAND)
        with store.execute(job):
            score_job(store, job, scorer.champions, threads=1)

    with ScoreLog(trained_copy) as log:
        logging = open_scorer(trained_copy, log)
        logging.score(everyone[:2], ["propensity"])
    execute(now)
    with ScoreLog(trained_copy) as log:
        batch.score(open_scorer(trained_copy, log), everyone[:300], ["propensity"])
    execute(now + timedelta(days=1))
    champion, reports, pictures = Registry(trained_copy).champion("propensity"), [], []
    for backend in (lake.connect(), engine.backend):
        logged = records.read(trained_copy, now, now + timedelta(days=1), backend)
        report = check(backend, "propensity", champion.reference, logged, now, now, champion.version)
        reports.append(report.as_dict())
        picture = current_rows(backend, scored_rows("propensity", champion.version, logged.vectors), 0)
        pictures.append(picture.sort_values([*picture.columns], ignore_index=True))
    assert reports[1] == reports[0]
    assert (reports[0]["customers"], reports[0]["vectors"]) == (len(everyone), 2 * len(everyone))
    assert reports[0]["answers"] == 2 * len(everyone) + 302
    pd.testing.assert_frame_equal(*pictures)


def test_an_executor_refuses_a_changed_model(engine: SparkBuild, trained_copy: Home) -> None:
    champions = open_scorer(trained_copy, None).champions
    store = ScoreJobStore(trained_copy)
    job = create_job(store, champions, ["churn"], segment=None, origin=COMMAND)
    files, digest = Registry(trained_copy).files("churn", job.models["churn"])
    bundles = {"churn": (files | {"reference.json": b"{}"}, digest)}
    columns = SnapshotColumns.of(trained_copy, engine.executors.exchange)
    customers, parts = str(store.customers_file(job)), str(store.part(job, 0).parent)
    task = ChunkTask(job, [0], customers, parts, bundles, columns, {})
    with pytest.raises(PatronError, match=r"reference\.json is missing or not as it was published"):
        task(0)


# A storage


@contextmanager
def exchanging(engine: SparkBuild, home: Home, storage: str) -> Iterator[SparkBuild]:
    """The engine, with a storage in place of the home."""
    with open_exchange(home, home.path / "spark", storage) as exchange, ExitStack() as resources:
        executors = replace(engine.executors, exchange=exchange)
        engine.backend.tasks_of = executors.read_tasks
        yield SparkBuild(executors, resources)
    engine.backend.tasks_of = None
    filesystem, path = place_of(storage)
    filesystem.invalidate_cache()
    assert filesystem.find(path) == []


@pytest.mark.parametrize("kind", ["s3", "file"])
def test_the_lake_and_snapshots_are_exchanged_by_a_storage(
    engine: SparkBuild,
    storages: dict[str, str],
    kind: str,
    built_shop: Home,
    built: SnapshotSet,
    tmp_path: Path,
) -> None:
    own = home_id.read(built_shop)
    left, path = place_of(f"{storages[kind]}/{own.id if own else 'home'}/build-killed/events")
    left.pipe_file(path, b"of a command that was killed")
    with exchanging(engine, built_shop, storages[kind]) as remote:
        events = lake.read(built_shop, remote.backend)
        everyone = populations.everyone_at(events, [built.current], built_shop.shop().time_zone)
        values = price.compute(events, everyone)
        expected = built.current_files()["price"]
        snapshot = SnapshotFile(built.current, tmp_path / "price.parquet", read(expected).num_rows)
        remote.write([GroupSnapshots(values, [snapshot])])
        stored = remote.backend.to_pyarrow(remote.backend.read_parquet([expected]).count())
    assert not differing(read(snapshot.path), read(expected))
    assert stored.as_py() == read(expected).num_rows


@pytest.mark.parametrize("kind", ["s3", "file"])
def test_scores_are_exchanged_by_a_storage(
    engine: SparkBuild,
    storages: dict[str, str],
    kind: str,
    trained_copy: Home,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(score_jobs, "CHUNK", 250)
    store, champions = ScoreJobStore(trained_copy), open_scorer(trained_copy, None).champions
    files = []
    with exchanging(engine, trained_copy, storages[kind]) as remote:
        spark_job = partial(by_spark.score_job, executors=remote.executors)
        for score in (partial(score_job, threads=1), spark_job):
            job = create_job(store, champions, ["churn"], segment=None, origin=COMMAND)
            with store.execute(job):
                score(store, job, champions)
            files.append(b"".join(tables.stream(store, job, "parquet")))
    assert files[0] == files[1]


def test_parts_of_a_job_that_fails_are_stored(storages: dict[str, str], home: Home, tmp_path: Path) -> None:
    def write_and_fail(address: str) -> None:
        with replacing(f"{address}/part-00000.parquet") as file:
            pq.write_table(pa.table({"x": [1]}), file)
        raise RuntimeError("lost")

    with (
        open_exchange(home, tmp_path, storages["s3"]) as exchange,
        pytest.raises(RuntimeError, match="lost"),
        exchange.returned_into(tmp_path) as address,
    ):
        write_and_fail(address)
    assert read(tmp_path / "part-00000.parquet")["x"].to_pylist() == [1]


# Before Spark starts


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ("s3://nowhere/patron", "FileNotFoundError"),
        ("webhdfs://user:secret@127.0.0.1:9/patron", "ConnectionError"),
        ("file:///proc/patron", "FileNotFoundError"),
        ("s4://bucket", "ValueError"),
    ],
)
def test_a_storage_that_cannot_be_written(
    environment: None, shop_copy: Home, storage: str, reason: str
) -> None:
    message = rf"cannot be used \({reason}\); Spark's executors and this process exchange files there"
    with (
        pytest.raises(PatronError, match=message) as raised,
        spark_build(shop_copy, Cluster(MASTER, storage)),
    ):
        pass
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("java_home", ["nowhere", None])
def test_without_java(shop_copy: Home, monkeypatch: pytest.MonkeyPatch, java_home: str | None) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("JAVA_HOME", java_home) if java_home else monkeypatch.delenv(
        "JAVA_HOME", raising=False
    )
    with pytest.raises(PatronError, match="Spark needs Java 17 or later"), spark_build(shop_copy, CLUSTER):
        pass
    assert not list((shop_copy.path / "spark").glob("build-*"))


def test_another_major_version_of_spark(shop_copy: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyspark.__version__", "3.5.1")
    with (
        pytest.raises(PatronError, match=r"this is Spark 3\.5\.1; Patron needs Spark 4"),
        spark_build(shop_copy, CLUSTER),
    ):
        pass


def test_without_spark(shop_copy: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_engine, "find_spec", lambda _: None)
    with pytest.raises(PatronError, match="install the extra `spark`"), spark_build(shop_copy, CLUSTER):
        pass


def test_a_folder_that_cannot_be_written(shop_copy: Home) -> None:
    (shop_copy.path / "spark").write_text("a file")
    with pytest.raises(PatronError, match="spark cannot be written"), spark_build(shop_copy, CLUSTER):
        pass
