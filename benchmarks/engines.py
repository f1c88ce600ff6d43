"""A build by Spark against one by DuckDB: the same values, and the time of both as shops grow.

One moment of a simulated shop of each size, on the cores of this machine, each side in a process of its own
and with boundaries of segments of its own. ``ours`` is ``patron build --engine spark`` without the online
store, with the start of Java; ``peer`` is the same by DuckDB. Fails if values differ: floats beyond 1e-9,
everything else, decimals of boundaries included, exactly. The labels of all models, and the digests of their
training examples, are compared at an earlier moment. Online Retail is compared too where its file is next to
the project.

    python -m benchmarks.engines [--events N ...] [--master local[2]]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import lakes
from benchmarks.harness import report, rounds
from core.errors import PatronError
from core.home import Home
from events import lake
from events.files import imports
from features.catalogue.store import Store
from features.groups import groups_of
from features.offline import populations, snapshots
from features.offline.engines import BuildEngine, DuckDbBuild
from features.offline.engines.executors import Cluster
from features.offline.engines.spark import spark_build
from models.questions import MODELS
from training.customers.dataset import gather

SIZES = (1_000_000, 5_000_000)
RETAIL = Path(__file__).parents[2] / "shared" / "data" / "online-retail" / "online_retail_2009_2011.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(description="How long builds take by DuckDB and by Spark.")
    parser.add_argument("--events", type=int, nargs="*", default=SIZES)
    parser.add_argument("--master", default="local[2,4]", help="Spark's address.")
    arguments = parser.parse_args()
    results: dict[str, report.Result] = {}
    if RETAIL.exists():
        results |= compare("online_retail", import_retail, arguments.master)
    for events in arguments.events:
        make = partial(lakes.make, events=events)
        results |= compare(f"{events / 1e6:g}m", make, arguments.master)
    report.publish("engines", results)


def import_retail(home: Home) -> None:
    """Fill a home with the orders of Online Retail."""
    imports.import_file(home, str(RETAIL), "online-retail")


def compare(name: str, make: Callable[[Home], object], master: str) -> dict[str, report.Result]:
    """The seconds of both engines for the present of a shop; raises if their values differ."""
    with TemporaryDirectory() as folder:
        by_duckdb, by_spark = Home(Path(folder) / "duckdb"), Home(Path(folder) / "spark")
        rounds.apart(partial(make, by_duckdb))
        shutil.copytree(by_duckdb.path, by_spark.path)
        peer = rounds.apart(partial(build_by_duckdb, by_duckdb))
        ours = rounds.apart(partial(build_by_spark, by_spark, master))
        columns = check(by_duckdb, by_spark)
        digests = [rounds.apart(partial(training_digests, home)) for home in (by_duckdb, by_spark)]
    if digests[0] != digests[1]:
        raise PatronError(f"the engines give other training examples: {digests}")
    counts = f"{columns} columns and the digests of {len(digests[0])} trainings"
    print(f"{name}: {counts} are equal", file=sys.stderr, flush=True)
    return {f"build_{name}": report.Result(ours, "s", peer)}


def build_by_duckdb(home: Home) -> float:
    """Seconds."""
    began = time.perf_counter()
    snapshots.store(home, [home.shop().now()])
    seconds = time.perf_counter() - began
    write_examples(home, DuckDbBuild(home))
    return seconds


def build_by_spark(home: Home, master: str) -> float:
    """Seconds, with the start of Java."""
    began = time.perf_counter()
    with spark_build(home, Cluster(master)) as engine:
        snapshots.store(home, [home.shop().now()], engine=engine)
        seconds = time.perf_counter() - began
        write_examples(home, engine)
    return seconds


def write_examples(home: Home, engine: BuildEngine) -> None:
    """Write the features and the labels of the training examples, which are not timed."""
    now, moment, shop = home.shop().now(), training_moment(home), home.shop()
    snapshots.store(home, [moment, now], engine=engine)
    events = lake.read(home, engine.backend).known_at(now)
    everyone = populations.everyone_at(events, [moment], shop.time_zone)
    for model in MODELS.values():
        labels = model.label(events, everyone, model.horizon.days).order_by("customer_key")
        path = home.snapshots / f"labels-{model.name}.parquet"
        pq.write_table(engine.backend.to_pyarrow(labels), path)


def training_moment(home: Home) -> datetime:
    """The latest monthly moment before which no label is due later than now."""
    due = home.shop().now() - max(model.horizon for model in MODELS.values())
    return max(moment for moment in populations.origins(home) if moment <= due)


def training_digests(home: Home) -> dict[str, str]:
    """The digest of each model's training examples, from the snapshots of a home."""
    now, moment, store = home.shop().now(), training_moment(home), Store(home)
    store.apply(groups_of(home), snapshots.store(home, [moment, now]))
    return {
        model.name: gather(store, model, [moment], model.horizon.days, now).digest()
        for model in MODELS.values()
    }


def check(expected: Home, actual: Home) -> int:
    """The number of columns of snapshots, boundaries of segments and labels that were compared.

    Raises:
        PatronError: a file is missing, or values differ.
    """
    names = [sorted(path.relative_to(home.snapshots) for path in home.snapshots.rglob("*.parquet"))
             for home in (expected, actual)]  # fmt: skip
    if names[0] != names[1] or not names[0]:
        raise PatronError("the engines wrote different files")
    return sum(compared_columns(expected.snapshots / name, actual.snapshots / name) for name in names[0])


def compared_columns(expected: Path, actual: Path) -> int:
    """The number of columns of two files, whose values are equal.

    Raises:
        PatronError: they differ.
    """
    left, right = (_read(path) for path in (expected, actual))
    if not left.schema.equals(right.schema) or differing(left, right):
        raise PatronError(f"{expected.parent.name}: other values of {', '.join(differing(left, right))}")
    return int(left.num_columns)


def _read(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read()


def differing(left: pa.Table, right: pa.Table) -> Sequence[str]:
    """The columns whose values differ: floats by more than 1e-9, others at all."""
    return [name for name in left.column_names if not _same(left[name], right[name])]


def _same(left: pa.ChunkedArray, right: pa.ChunkedArray) -> bool:
    if not pa.types.is_floating(left.type) or len(left) != len(right):
        return bool(left.equals(right))
    values = left.to_numpy(), right.to_numpy()
    return bool(np.allclose(*values, rtol=1e-9, atol=1e-9, equal_nan=True))


if __name__ == "__main__":
    main()
