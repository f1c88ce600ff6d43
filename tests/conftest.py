"""Shops for the tests: one simulated, one with its features built, and files to import.

The homes are shared by all tests of a run, whichever process they are in, and made once. A test that
changes one takes a copy: ``shop_copy``, or ``copy_home(built_shop)``.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
import sqlalchemy as sa
from hypothesis import settings

from benchmarks.harness import servers
from benchmarks.harness.postgres import PostgresServer, postgres_programs, running_postgres
from core import files, garbage, private
from core.home import Home
from core.progress import silent
from core.shop import Clock, Shop
from core.storage import migrations
from events import lake
from events.identity import Identity
from events.simulation import simulated_shop
from events.simulation.simulate import Plan
from features.catalogue.registry import import_feast
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline import snapshots
from features.offline.snapshot_set import SnapshotSet
from features.text import opinions
from features.text.classifier import TextClassifier
from features.workspace import Workspace
from models.registry.connection import MlflowConnection
from models.registry.settings import ModelSettings
from models.registry.training_runs import TrainingRuns
from models.spec import CustomerModel

ROOT = Path(__file__).parents[1]
RETAIL_FILE = ROOT.parent / "shared" / "data" / "online-retail" / "online_retail_2009_2011.parquet"

PLAN = Plan(start=date(2022, 1, 1), seed=11, customers=600, years=2.5)
UNTIL = datetime(2024, 7, 1, 9, 30, tzinfo=UTC)


def pytest_configure() -> None:
    """Search for garbage as a command does; import Feast as the product does, before a module does so."""
    garbage.search_rarely()
    import_feast()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files so that no worker waits: those with slow tests first, then the larger ones.

    Of the slow files, those that need no shared shop come first: the others wait while one of them makes it.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    with_shop = {item.path for item in items if "shop" in getattr(item, "fixturenames", ())}
    sizes = {item.path: item.path.stat().st_size for item in items}
    items.sort(key=lambda item: (item.path not in slow, item.path in with_shop, -sizes[item.path]))


# The same examples in every run, and no files left behind.
settings.register_profile("patron", derandomize=True, database=None, deadline=None)
settings.load_profile("patron")


@pytest.fixture(scope="session", autouse=True)
def as_the_command_line_does(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The process keeps UTC, its files are private, and nobody's own home is touched.

    Nothing waits for the disk: no test cuts the power.
    """
    private.restrict_umask()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _file: None)
        patch.setenv("TZ", "UTC")
        patch.setenv("PATRON_HOME", str(tmp_path_factory.getbasetemp() / "no-home"))
        time.tzset()
        yield


@pytest.fixture(scope="module", autouse=True)
def frozen_heap() -> None:
    """Keep what was imported so far out of garbage collections, a tenth of the processor time otherwise."""
    gc.collect()
    gc.freeze()


# Databases


@pytest.fixture(scope="session")
def without() -> Callable[[str], NoReturn]:
    """A function that ends a test since a program is missing: failed where that may not be, else skipped."""

    def end(program: str) -> NoReturn:
        reason = f"{program} is not installed"
        if os.environ.get("PATRON_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    return end


@pytest.fixture(scope="session")
def postgres(without: Callable[[str], NoReturn]) -> Iterator[PostgresServer]:
    """A PostgreSQL of this run's own."""
    programs = postgres_programs()
    if programs is None:
        without("PostgreSQL")
    with running_postgres(programs, durable=False) as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def replayed_migrations() -> Iterator[None]:
    """The statements that create the tables of an empty database are compiled once, and sent again later."""
    upgrade, recorded = migrations.upgrade, dict[str, list[str]]()

    def create_tables(connection: sa.Connection, to: str = migrations.HEAD) -> None:
        if to != migrations.HEAD or migrations.revision(connection) is not None:
            upgrade(connection, to)
            return
        kind, statements = connection.dialect.name, list[str]()
        driver: Any = connection.connection.driver_connection
        if kind not in recorded:
            sa.event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
            upgrade(connection)
            recorded[kind] = [s for s in statements if not s.lstrip().startswith(("SELECT", "PRAGMA"))]
        elif kind == "postgresql":
            driver.execute(";".join(recorded[kind]))
        else:
            for statement in recorded[kind]:
                driver.execute(statement)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "upgrade", create_tables)
        yield


@pytest.fixture
def postgres_address(postgres: PostgresServer) -> Iterator[str]:
    """A database that holds nothing, of the test's own."""
    with postgres.database() as address:
        yield address


@pytest.fixture(scope="session")
def redis_server(
    tmp_path_factory: pytest.TempPathFactory, without: Callable[[str], NoReturn]
) -> Iterator[str]:
    """The address of a Redis of this run's own, on a free port; nothing is kept."""
    program = shutil.which("redis-server")
    if program is None:
        without("redis-server")
    with servers.redis(program, tmp_path_factory.mktemp("redis")) as port:
        yield f"redis://{servers.HOST}:{port}/0"


@pytest.fixture(scope="module")
def redis_address(redis_server: str) -> str:
    """The run's Redis, which contains nothing when a module begins: modules share it in any order."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def mlflow_tables(made_once: Callable[..., Path]) -> Callable[[Path], None]:
    """A function that copies MLflow's empty tables to an SQLite file that does not exist.

    MLflow takes a second to create them, one migration after the other.
    """
    connect = MlflowConnection.__init__  # before it is patched

    def make(path: Path) -> None:
        connection = MlflowConnection.__new__(MlflowConnection)
        connect(connection, Home(path))
        connection.owner()

    def copy(database: Path) -> None:
        database.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(database) as draft:
            shutil.copyfile(made_once("mlflow-tables", make) / "mlflow" / "mlflow.db", draft)

    return copy


@pytest.fixture(scope="session", autouse=True)
def local_mlflow(mlflow_tables: Callable[[Path], None]) -> Iterator[None]:
    """Every new local MLflow begins with a copy of its tables."""
    connect = MlflowConnection.__init__

    def begin(connection: MlflowConnection, home: Home, settings: ModelSettings | None = None) -> None:
        database = home.mlflow / "mlflow.db"
        if (settings or ModelSettings()).mlflow_uri is None and not database.exists():
            mlflow_tables(database)
        connect(connection, home, settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowConnection, "__init__", begin)
        yield


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that a test itself trains get no pictures, which take an eighth of a training.

    Those of fixtures for several tests have theirs, since such fixtures are made before.
    """
    record = TrainingRuns.record
    monkeypatch.setattr(
        TrainingRuns, "record", lambda self, name, run: record(self, name, replace(run, figures={}))
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """A home that is not there yet, over a database of each kind."""
    server = request.param == "postgresql"
    return Home(tmp_path / "home", request.getfixturevalue("postgres_address") if server else None)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A function (name, make) that has a folder made by the first process of the run that asks for it."""
    base = tmp_path_factory.getbasetemp()
    run = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        made, done = run / name, run / f"{name}.made"
        with open(run / f"{name}.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(made, ignore_errors=True)  # of a process that failed
                make(made)
                done.touch()
        return made

    return folder


@pytest.fixture(scope="session")
def plan() -> Plan:
    """How ``shop`` was simulated."""
    return PLAN


@pytest.fixture(scope="session")
def shop(made_once: Callable[..., Path]) -> Home:
    """A simulated shop of 600 customers and two and a half years, its clock standing at ``UNTIL``."""

    def make(path: Path) -> None:
        home = Home(path)
        simulated_shop.write(home, PLAN, UNTIL, silent)
        home.write_shop(Shop("simulate", PLAN.time_zone, PLAN.currency, Clock(UNTIL)))
        opinions.install(home, learn_to_read(home).to_files())

    return Home(made_once("shop", make))


@pytest.fixture(scope="session")
def taught() -> Callable[[Sequence[str], Sequence[str]], TextClassifier]:
    """A function (good, bad): a classifier of texts that learnt some words of either kind, in pairs."""

    def teach(good: Sequence[str], bad: Sequence[str]) -> TextClassifier:
        from models.text.learning import fit

        pairs = [(f"{a} {b}", label) for label, some in ((1.0, good), (0.0, bad)) for a in some for b in some]
        return fit([text for text, _ in pairs], [label for _, label in pairs])

    return teach


def learn_to_read(home: Home) -> TextClassifier:
    """A classifier that learnt from the stars of a home's own reviews."""
    from models.text.learning import fit

    reviews = lake.read(home, lake.connect()).activities.filter(lambda t: t.kind == "reviewed")
    reviews = [json.loads(p) for p in sorted(reviews.properties.to_pandas())]
    return fit([r["review_body"] for r in reviews], [float(r["rating"] > 3) for r in reviews])


def _build_features(home: Home, monthly: bool = True) -> SnapshotSet:
    """Snapshots, catalogue and online store, as ``patron build`` makes them."""
    built = snapshots.build(home, monthly)
    store = Store(home)
    store.apply(GROUPS, built.folders)
    store.fill_online({group.name: built.table(group, built.current) for group in GROUPS})
    return built


@pytest.fixture(scope="session")
def build_features() -> Callable[..., SnapshotSet]:
    """A function that builds a home's features: (home, monthly=True)."""
    return _build_features


def _copy(home: Home, folder: Path) -> Home:
    """A copy of a home that another process may have open: its databases by SQLite's own backup.

    A plain copy fails when a connection closes meanwhile, because SQLite removes the write-ahead log.
    """
    shutil.copytree(home.path, folder, ignore=shutil.ignore_patterns("*.db", "*.db-*"))
    for path in home.path.rglob("*.db"):
        if not path.read_bytes().startswith(b"SQLite format 3"):  # such as Feast's registry
            shutil.copy2(path, folder / path.relative_to(home.path))
            continue
        with (
            closing(sqlite3.connect(path)) as source,
            closing(sqlite3.connect(folder / path.relative_to(home.path))) as target,
        ):
            target.execute("PRAGMA synchronous = off")
            source.backup(target)
    return Home(folder)


@pytest.fixture(scope="session")
def copy_into() -> Callable[[Home, Path], Home]:
    """Copies a home into a folder that does not exist yet."""
    return _copy


@pytest.fixture
def copy_home(tmp_path: Path) -> Callable[[Home], Home]:
    """A function that copies a home into the test's own folder."""
    return lambda home: _copy(home, tmp_path / "home")


@pytest.fixture
def shop_copy(shop: Home, copy_home: Callable[[Home], Home]) -> Home:
    """The simulated shop, for a test to change."""
    return copy_home(shop)


@pytest.fixture(scope="session")
def built_shop(shop: Home, made_once: Callable[..., Path]) -> Home:
    """The simulated shop with its monthly snapshots, its catalogue and its online store."""
    return Home(made_once("built", lambda path: _build(shop, path)))


def _build(shop: Home, path: Path) -> None:
    _build_features(_copy(shop, path))


@pytest.fixture(scope="session")
def built(built_shop: Home) -> SnapshotSet:
    """What the build of ``built_shop`` left behind; nothing is computed twice."""
    return snapshots.build(built_shop)


@pytest.fixture(scope="session")
def retail_file() -> Path:
    """The order lines of a real wholesaler, where they are at hand."""
    if not RETAIL_FILE.is_file():
        pytest.skip("the Online Retail file is not in ../shared/data/online-retail")
    return RETAIL_FILE


RetailWriter = Callable[..., Path]


@pytest.fixture
def small_retail(tmp_path: Path) -> RetailWriter:
    """Write order lines, each (invoice, product, quantity, time, price, customer, ...), to a file.

    Description and country may follow; they are "HEART SIGN" and "United Kingdom" otherwise.
    """

    def write(rows: Iterable[Sequence[Any]], name: str = "retail.parquet") -> Path:
        full = [(*row, *("HEART SIGN", "United Kingdom")[len(row) - 6 :]) for row in rows]
        columns: list[tuple[Any, ...]] = list(zip(*full, strict=True)) if full else [()] * 8
        invoice, product, quantity, moment, price, customer, description, country = columns
        path = tmp_path / name
        pq.write_table(
            pa.table(
                {
                    "InvoiceNo": pa.array(invoice, pa.string()),
                    "StockCode": pa.array(product, pa.string()),
                    "Description": pa.array(description, pa.string()),
                    "Quantity": pa.array(quantity, pa.int64()),
                    "InvoiceDate": pa.array(moment, pa.timestamp("us")),
                    "UnitPrice": pa.array(price, pa.float64()),
                    "CustomerID": pa.array(customer, pa.int64()),
                    "Country": pa.array(country, pa.string()),
                }
            ),
            path,
        )
        return path

    return write


@pytest.fixture(scope="session")
def sales_mapping() -> str:
    """The mapping of a file with the columns who, day, no, sku and paid, a row per order."""
    return """
[shop]
time_zone = "Europe/Berlin"
currency = "EUR"
[orders]
customer = "who"
time = "day"
order = "no"
product = "sku"
amount = "paid"
"""


@pytest.fixture(scope="session")
def import_sales(sales_mapping: str) -> Callable[[Path, Iterable[tuple[str, date, float]]], Home]:
    """A function (folder, sales) that imports sales (customer, day, amount); negative amounts are refunds."""

    def imported(folder: Path, sales: Iterable[tuple[str, date, float]]) -> Home:
        from events.files import imports

        rows = [f"{who},{day},{no},tea,{paid}" for no, (who, day, paid) in enumerate(sales)]
        (folder / "orders.csv").write_text("\n".join(["who,day,no,sku,paid", *rows]) + "\n")
        (folder / "own.toml").write_text(sales_mapping)
        home = Home(folder / "home")
        imports.import_file(home, str(folder / "orders.csv"), str(folder / "own.toml"))
        return home

    return imported


# Models: a shop with all three trained, and copies of it.


@pytest.fixture(scope="session")
def trained_shop(built_shop: Home, built: SnapshotSet, made_once: Callable[..., Path]) -> Home:
    """A copy of ``built_shop`` in which every model of the catalogue was trained by the pipeline."""

    def make(path: Path) -> None:
        from models.questions import MODELS
        from models.registry import promotion
        from models.registry.registry import Registry
        from training.customers.pipeline import train

        home = _copy(built_shop, path)
        registry = Registry(home)
        for model in MODELS.values():
            version = train(Workspace(home, built), model, registry)
            if not version.champion:  # too few customers to show that it surely beats the simplest baseline
                promotion.promote(registry, model.name, version.version, "tests ask it", force=True)

    return Home(made_once("trained", make))


@pytest.fixture(scope="session")
def ranked_shop(trained_shop: Home, made_once: Callable[..., Path]) -> Home:
    """A copy of ``trained_shop`` where products and propensity per category were trained too, and answer."""

    def make(path: Path) -> None:
        from models.registry.registry import Registry
        from training.categories.pipeline import train_categories
        from training.products.pipeline import train_products

        home = _copy(trained_shop, path)
        assert train_products(home, Registry(home)).champion
        assert train_categories(home, Registry(home)).champion

    return Home(made_once("ranked", make))


@pytest.fixture(scope="session")
def console_home(ranked_shop: Home, made_once: Callable[..., Path]) -> Home:
    """A copy of ``ranked_shop`` with actions, and the scores of all customers."""

    def make(path: Path) -> None:
        from commands.answers import example_actions
        from models.questions import MODELS
        from serving.score_jobs.to_file import score_all

        home = _copy(ranked_shop, path)
        score_all(home, list(MODELS))
        home.actions.write_text(example_actions(), encoding="utf-8")

    return Home(made_once("console", make))


# Three of four sign up without ordering, and half of them order some weeks later. There are no subscriptions.
PROSPECTS = replace(
    PLAN, start=date(2023, 1, 1), customers=1400, years=1.5, prospect_share=0.75, prospect_conversion=0.5,
    subscriber_share=0.0,
)  # fmt: skip


@pytest.fixture(scope="session")
def prospects_shop(made_once: Callable[..., Path]) -> Home:
    """A simulated shop with many prospects, its features built and the model of leads trained."""

    def make(path: Path) -> None:
        from models.questions.leads import leads

        _with_model(path, PROSPECTS, leads)

    return Home(made_once("prospects", make))


# Nearly everybody who orders subscribes to something.
SUBSCRIBERS = replace(PLAN, start=date(2022, 10, 1), customers=1000, years=1.75, subscriber_share=0.85)


@pytest.fixture(scope="session")
def subscribers_shop(made_once: Callable[..., Path]) -> Home:
    """A simulated shop with many subscribers, its features built and the model of their leaving trained."""

    def make(path: Path) -> None:
        from models.questions.subscription_churn import subscription_churn

        _with_model(path, SUBSCRIBERS, subscription_churn)

    return Home(made_once("subscribers", make))


def _with_model(path: Path, plan: Plan, model: CustomerModel) -> None:
    """A simulated shop, its features built and one model trained."""
    from models.registry.registry import Registry
    from training.customers.pipeline import train

    home = Home(path)
    simulated_shop.write(home, plan, UNTIL, silent)
    home.write_shop(Shop("simulate", plan.time_zone, plan.currency, Clock(UNTIL)))
    train(Workspace(home, _build_features(home)), model, Registry(home))


@pytest.fixture(scope="session")
def small_bundle() -> Callable[[str], dict[str, bytes]]:
    """A function that makes the files of a model by its name, with one feature, which is fitted quickly."""

    def make(name: str) -> dict[str, bytes]:
        from models.estimators.trees import CalibratedTrees
        from models.registry.bundle import pack

        rng = np.random.default_rng(0)
        x = rng.random((400, 1))
        y = (rng.random(400) < x[:, 0]).astype(np.float64)
        fitted = CalibratedTrees(rounds=2).fit(x, y, np.arange(400), [])
        column = {
            "name": "orders_30d", "dtype": "int64", "unit": "orders", "definition": "d", "vocabulary": []
        }  # fmt: skip
        manifest = {"model": name, "features": [column], "eligible": [], "complement": False}
        return pack(manifest | {"score_percentiles": [0.0] * 101}, fitted, {"rows": 0, "columns": {}})

    return make


@pytest.fixture(scope="session")
def copy_trained() -> Callable[[Home, Path], Home]:
    """A function that copies a home to a folder that does not exist: (home, folder)."""
    return _copy


@pytest.fixture
def trained_copy(trained_shop: Home, tmp_path: Path) -> Home:
    """The trained shop, for a test to change."""
    return _copy(trained_shop, tmp_path / "home")


@pytest.fixture(scope="session")
def two_versions(trained_shop: Home, built: SnapshotSet, made_once: Callable[..., Path]) -> Home:
    """A copy of the trained shop with a second version of propensity, which is not promoted."""

    def make(path: Path) -> None:
        from models.questions.propensity import propensity
        from models.registry.registry import Registry
        from training.customers.pipeline import train

        home = _copy(trained_shop, path)
        poorer = replace(propensity, features=propensity.features[:6])
        assert not train(Workspace(home, built), poorer, Registry(home)).champion

    return Home(made_once("versions", make))


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], bool]], None]:
    """A function that waits until something is true, for a minute at most."""
    return partial(servers.wait_until, seconds=60)


# The command line


@pytest.fixture
def run_patron(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs a command in this process: (home, *words) to its code and both channels."""

    def run(home: Home, *words: object) -> tuple[int, str, str]:
        import patron

        monkeypatch.setenv("PATRON_HOME", str(home.path))
        monkeypatch.setattr(sys, "argv", ["patron", *map(str, words)])
        capsys.readouterr()
        code = patron.main()
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


# The service


@contextmanager
def _answering(home: Home) -> Iterator[Callable[..., httpx.Response]]:
    from records import ScoreLog
    from serving.app import create_app
    from serving.scores.scorer import open_scorer

    with ScoreLog(home) as log:
        app = create_app(open_scorer(home, log), log)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)

        async def ask(path: str, **given: Any) -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
                return await client.request(given.pop("method", "GET"), path, **given)

        async def shut_down() -> None:
            async with app.router.lifespan_context(app):
                pass

        try:
            yield lambda path, **given: asyncio.run(ask(path, **given))
        finally:
            asyncio.run(shut_down())


@pytest.fixture(scope="session")
def answering() -> Callable[[Home], AbstractContextManager[Callable[..., httpx.Response]]]:
    """A function (home) that opens a context: requests to the service over that home, in this process."""
    return _answering


@pytest.fixture(scope="session")
def served(trained_shop: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy of the trained shop that tests of the service may log into, and change nothing else of."""
    return _copy(trained_shop, tmp_path_factory.mktemp("served") / "home")


@pytest.fixture(scope="module")
def open_shop(ranked_shop: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy of the trained shop where everything can be done: its clock runs on, and it has actions."""
    from decisions.catalogue.actions import EXAMPLE

    home = _copy(ranked_shop, tmp_path_factory.mktemp("open") / "home")
    home.write_shop(replace(home.shop(), clock=Clock()))
    shutil.copy(EXAMPLE, home.actions)
    return home


@pytest.fixture(scope="session")
def get(served: Home) -> Iterator[Callable[..., httpx.Response]]:
    """Requests to the service over ``served``: GET, or ``method``."""
    with _answering(served) as ask:
        yield ask


@pytest.fixture(scope="session")
def refused() -> Callable[..., None]:
    """A function (response, words, status=422): it is a problem document, in these words among others."""

    def check(response: httpx.Response, words: str, status: int = 422) -> None:
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        assert words in response.json()["detail"]
        assert "Traceback" not in response.text

    return check


@pytest.fixture(scope="session")
def present_facts(built: SnapshotSet, built_shop: Home) -> dict[str, dict[str, Any]]:
    """Everyone's present features by customer id, in the order of keys; None where missing."""
    frames = [built.frame(group, built.current).set_index("customer_key") for group in GROUPS]
    frames = [frame[[*group.features]] for frame, group in zip(frames, GROUPS, strict=True)]
    joined = pd.concat(frames, axis=1).sort_index()
    ids = Identity(built_shop).ids(joined.index.tolist())
    joined = joined.astype(object).where(joined.notna(), None)
    return {ids[key]: dict(row) for key, row in joined.to_dict("index").items()}
