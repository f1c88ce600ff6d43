"""Builds whose lake is in Snowflake or BigQuery, against emulators that speak their protocols.

Each emulator runs in a Python environment of its own, made of ``torture/emulators/*.lock``, since it needs
versions that Ibis does not work with. The clients, the sessions and the SQL are those of production; the
engine is DuckDB behind an imitation. `patron lake check` accepts a shop's tables, and each value of a build,
and each label, is that of DuckDB over the same events: floats to 1e-9, everything else exactly. BigQuery's
approximate medians are left out.

    python -m torture.clouds [--warehouse snowflake|bigquery ...] [--customers N]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import venv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.engines import differing
from benchmarks.harness.servers import HOST, free_port
from core.home import Home
from core.progress import silent
from core.shop import Clock, Shop
from events import lake
from events.identity import Identity
from events.lake import shops
from events.schema import SCHEMAS
from events.simulation import simulated_shop
from events.simulation.simulate import Plan
from events.warehouse import SOURCE, check, connect
from features.catalogue.definitions import definitions
from features.offline import build
from features.text import opinions
from models.questions import MODELS
from models.questions.outcomes import KEYS, labels_of
from models.text.learning import fit
from torture import company_tables
from torture.spark_cluster import expect

EMULATORS = Path(__file__).parent / "emulators"
START_S, STOP_S, END = 120, 20, datetime(2024, 7, 1, 9, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Warehouse:
    """A warehouse that is imitated.

    Attributes:
        fill: creates the company's tables by the client: (port, name, rows).
        address: its URL, by the port.
        variables: of the environment, by the port and a folder.
        approximate: whether its medians are.
    """

    fill: Callable[[int, Mapping[str, pa.Table]], None]
    address: Callable[[int], str]
    variables: Callable[[int, Path], Mapping[str, str]]
    approximate: bool


WAREHOUSES = {
    "snowflake": Warehouse(
        company_tables.fill_snowflake, company_tables.snowflake_address, lambda *_: {}, False
    ),
    "bigquery": Warehouse(
        company_tables.fill_bigquery, company_tables.bigquery_address, company_tables.bigquery_variables, True
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds whose lake is in Snowflake or BigQuery.")
    parser.add_argument("--warehouse", nargs="+", choices=WAREHOUSES, default=[*WAREHOUSES])
    parser.add_argument("--customers", type=int, default=120)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        shop = Home(Path(name) / "shop")
        make(shop, arguments.customers)
        for warehouse in arguments.warehouse:
            columns = compare(warehouse, shop, Path(name) / warehouse)
            print(
                f"{warehouse}: {columns} columns and the labels of {len(MODELS)} models are those of DuckDB"
            )


def make(home: Home, customers: int) -> None:
    """A simulated shop, built by DuckDB."""
    plan = Plan(start=date(2023, 1, 1), seed=11, customers=customers, years=1.5)
    simulated_shop.write(home, plan, END, silent)
    home.write_shop(Shop("simulate", plan.time_zone, plan.currency, Clock(END)))
    reviews = lake.read(home, lake.connect()).activities.filter(lambda t: t.kind == "reviewed")
    texts = [json.loads(properties) for properties in sorted(reviews.properties.to_pandas())]
    learnt = fit([t["review_body"] for t in texts], [float(t["rating"] > 3) for t in texts])
    opinions.install(home, learnt.to_files())
    build.build(home, monthly=False)


def compare(name: str, shop: Home, folder: Path) -> int:
    """The number of columns of a build in a warehouse, whose values are those of the shop's own."""
    warehouse = WAREHOUSES[name]
    with serving(name, folder) as port:
        os.environ |= warehouse.variables(port, folder)
        warehouse.fill(port, tables_of(shop))
        home = Home(folder / "home", warehouse=warehouse.address(port))
        begin(home, shop, warehouse.approximate)
        session = connect(home.warehouse)
        rows, problems = check(home, session)
        session.disconnect()
        expect(not problems and all(rows.values()), f"the check says {rows}, {problems}")
        build.build(home, monthly=False)
        compare_labels(home, shop)
    return compare_builds(home, shop)


@contextmanager
def serving(name: str, folder: Path) -> Iterator[int]:
    """Yield the port of an emulator, in an environment of its own."""
    environment = folder / "environment"
    venv.create(environment, with_pip=True)
    python, port = str(environment / "bin" / "python"), free_port()
    install = ["-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r"]
    subprocess.run([python, *install, str(EMULATORS / f"{name}.lock")], check=True)
    with (folder / "server.log").open("wb") as log:
        program = [python, str(EMULATORS / f"{name}_server.py"), str(port)]
        process = subprocess.Popen(program, stdout=log, stderr=log)
    try:
        company_tables.wait(HOST, port, START_S)
        yield port
    finally:
        process.kill()
        process.wait(STOP_S)


def tables_of(shop: Home) -> dict[str, pa.Table]:
    """The event tables of a company, with its own ids of customers and moments with a time zone."""
    local, ids, tables = lake.connect(), ibis.memtable(Identity(shop).table()), {}
    for name, events in lake.read(shop, local).items():
        rows = local.to_pyarrow(events.inner_join(ids, "customer_key"))
        own = {"customer_key", "day", "hour", "replaced_at"} & set(rows.column_names)
        rows = rows.drop_columns(list(own))
        types = [
            pa.timestamp("us", "UTC") if pa.types.is_timestamp(field.type) else field.type
            for field in rows.schema
        ]
        tables[name] = rows.cast(pa.schema(list(zip(rows.column_names, types, strict=True))))
    return tables


def begin(home: Home, shop: Home, approximate: bool) -> None:
    """A home whose lake is the warehouse, with the clock of the shop."""
    settings = shop.shop()
    shops.begin_live(home, settings.time_zone, settings.currency, SOURCE)
    home.write_shop(replace(settings, source=SOURCE, approximate=approximate))
    shutil.copy(shop.text_classifier, home.text_classifier)
    home.warehouse_queries.mkdir()
    for name in SCHEMAS:
        (home.warehouse_queries / f"{name}.sql").write_text(f"SELECT * FROM {name} -- of the company\n")


def compare_builds(home: Home, shop: Home) -> int:
    """The number of columns that are equal; boundaries, key figures and keys are equal too."""
    ours, theirs = (snapshot_files(each) for each in (home, shop))
    expect(bool(ours) and ours.keys() == theirs.keys(), "the builds wrote different files")
    expect(Identity(home).table().equals(Identity(shop).table()), "customers have other keys")
    hashes = [definitions(each) for each in (home, shop)]
    approximate = {name for name in hashes[0] if hashes[0][name] != hashes[1][name]}
    columns = 0
    for path in ours:
        left, right = (pq.read_table(files[path], partitioning=None) for files in (ours, theirs))
        expect(left.schema.equals(right.schema), f"{path} has other columns")
        different = set(differing(left, right)) - approximate
        expect(not different, f"{path} has other values in {different}")
        columns += left.num_columns
    for name in ("kpis.json", "cohorts.json", "weeks.json"):
        left, right = (json.loads((generation(each) / name).read_text()) for each in (home, shop))
        expect(equal(left, right), f"{name} has other values")
    return columns


def compare_labels(home: Home, shop: Home) -> None:
    """The labels of each model, half a year before the present."""
    now = shop.shop().now()
    moment = pd.Timestamp(now - timedelta(days=200)).as_unit("us")
    rows = pd.DataFrame({"customer_key": range(1, 101), "as_of": moment})
    for name, model in MODELS.items():
        ours, theirs = (labels_of(each, model, 120, rows, now).sort_values(KEYS) for each in (home, shop))
        same = np.allclose(
            ours.label.to_numpy(float), theirs.label.to_numpy(float), rtol=1e-9, equal_nan=True
        )
        expect(len(ours) == len(theirs) and same, f"the labels of {name} differ")


def generation(home: Home) -> Path:
    return home.snapshots / lake.metadata(home).generation


def snapshot_files(home: Home) -> dict[str, Path]:
    """The files of snapshots, by group and moment; a folder's name ends with a hash of definitions."""
    files = generation(home).rglob("20*.parquet")
    return {f"{path.parent.name.partition('-')[0]}/{path.name}": path for path in files}


def equal(left: Any, right: Any) -> bool:
    """Whether two results are the same, numbers to their last decimal, which rounds a sum in any order."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, abs_tol=0.0101)
    return bool(left == right)


if __name__ == "__main__":
    main()
