"""Scores of all customers: a job of `patron score` against LightGBM alone.

``ours`` is a whole job: the list of customers, online rows from a file, three models' scores,
percentiles and refusals, the log's columns, and a Parquet file with ids. ``limit`` is ``Booster.predict``
of the same three models' trees, with as many threads, on a prepared matrix. Both score the same
customers: those of a simulated shop, repeated many times. ``monitor`` is `patron monitor` of these jobs,
of which the last one of the day counts.

    python -m benchmarks.bulk [--customers N] [--rounds N] [--home FOLDER]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np

from benchmarks.harness import homes, report, rounds
from core.home import Home
from events.identity import Identity
from features.catalogue.registry import import_feast
from models.estimators.blend import FittedBlend
from models.questions import MODELS
from models.registry.encoding import column_matrix
from records.job import COMMAND
from records.score_jobs import CHUNK, ScoreJobStore
from serving.files import tables as job_files
from serving.files import writing as files
from serving.score_jobs.scoring import create_job, score_job
from serving.scores.scorer import open_scorer

STRIDE = 1_000_003  # a prime, so that each repetition has the simulated customers in another order


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast everybody is scored.")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help="How often each side is measured.")
    parser.add_argument("--home", type=Path, help="A trained home to copy; by default a new one is made.")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        home = Home(Path(folder, "home"))
        if arguments.home:
            shutil.copytree(arguments.home, home.path)
        else:
            _note("simulating a shop and training its models")
            homes.build(home.path)
        _note(f"multiplying its customers to {arguments.customers:,}")
        multiply(home, arguments.customers)
        measured = measure(home, Path(folder, "scores.parquet"), arguments.rounds)
        _note("comparing the scored customers with those of the training")
        monitored = homes.measured("monitor", home.path, ["monitor"], permitted=(0, homes.DRIFTED))
    rate = {side: arguments.customers / medians["seconds"] for side, medians in measured.items()}
    bulk = report.Result(rate["ours"], "customers/s", None, rate["limit"], "higher")
    report.publish("bulk", {"bulk": bulk, **monitored})


def multiply(home: Home, customers: int) -> None:
    """Extend a home to this number of customers, each with a copy of an existing online row."""
    there = Identity(home).table().num_rows
    numbers = (
        f"WITH RECURSIVE numbers(n) AS (VALUES ({there + 1}) UNION ALL SELECT n + 1 FROM numbers"
        f" WHERE n < {customers})"
    )
    with closing(sqlite3.connect(home.online_file)) as connection:
        views = [f'"{view}"' for (view,) in connection.execute("SELECT view FROM layouts")]
        connection.execute(
            f"INSERT INTO customers (customer_key, {', '.join(views)}) {numbers}"
            f" SELECT n, {', '.join(views)} FROM numbers"
            f" JOIN customers ON customer_key = 1 + n * {STRIDE} % {there}"
        )
        connection.commit()
    with closing(sqlite3.connect(home.database_file)) as connection:
        for table in ("customers", "customer_ids"):
            connection.execute(
                f"INSERT INTO {table} (customer_key, customer_id) {numbers}"
                " SELECT n, format('M%07d', n) FROM numbers"
            )
        connection.commit()


def measure(home: Home, out: Path, times: int) -> dict[str, dict[str, float]]:
    """Per side the seconds to score all customers; checks that the scores are equal."""
    import_feast()
    champions = open_scorer(home, None).champions
    models = [champions.models[name] for name in MODELS]
    reader = champions.store.patient_reader(models[0].features)
    chunks = Identity(home).everyone(CHUNK)
    values = [reader.columns(reader.fetch(keys.tolist())).values for keys in chunks if len(keys)]
    x = np.concatenate([column_matrix(models[0].columns, some) for some in values])
    if any(model.columns != models[0].columns for model in models):
        raise RuntimeError("the models read different features, and one matrix is ready for all")
    threads = os.cpu_count() or 1

    def ours(_number: int) -> rounds.Measured:
        started = time.perf_counter()
        store = ScoreJobStore(home)
        job = create_job(store, champions, list(MODELS), segment=None, origin=COMMAND)
        with store.execute(job):
            score_job(store, job, champions, threads)
        files.write(job_files.stream(store, job, job_files.kind_of(out)), out)
        return {"seconds": time.perf_counter() - started}

    def limit(_number: int) -> rounds.Measured:
        started = time.perf_counter()
        for model in models:
            for booster in cast(FittedBlend, model.fitted).boosters:
                booster.predict(x, raw_score=True, num_threads=threads)
        return {"seconds": time.perf_counter() - started}

    return rounds.interleaved({"ours": ours, "limit": limit}, times)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
