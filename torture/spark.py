"""Builds and a score job on a Spark cluster of several processes, of which some are killed.

A master and two workers run on the loopback interface, as Spark's standalone cluster. An executor is killed
when the first snapshot of a build is stored: the build finishes, with the values of a build by DuckDB. Then
all processes of the cluster are killed at that moment: the build ends with one sentence. Then the build
itself is killed. Each leaves whole snapshots only, and the next build, on a new cluster, computes the others.
So does a killed build that began with the one of the day before. Last, `patron score` is killed when the
first part of its job is stored: there is no file, and the same command, run again, scores the other parts
and writes the file of a job without Spark.

    python -m torture.spark [--events N] [--kill executor|cluster|build|increment|scores ...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from benchmarks import build_day, engines, lakes
from benchmarks.harness import homes, rounds
from core.home import Home
from core.shop import Clock
from features.groups import groups_of
from features.offline import snapshots
from features.offline.increments import bases
from records.score_jobs import ScoreJobStore
from torture.spark_cluster import (
    BUILD_S,
    building,
    cluster,
    executors,
    expect,
    kill,
    scoring,
    wait_for_a_file,
)  # fmt: skip

SCORES, INCREMENT = "scores", "increment"  # of what is killed
PARTS = "part-*.parquet"  # of a score job
SNAPSHOTS = "*Z.parquet"  # their names are moments


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds by Spark whose cluster is killed.")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--kill", nargs="+", choices=CHOICES, default=CHOICES)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        made, expected = Home(folder / "made"), Home(folder / "duckdb")
        rounds.apart(partial(lakes.make, made, arguments.events))
        shutil.copytree(made.path, expected.path)
        snapshots.build(expected, monthly=False)
        for kill_it in (KILLS[name] for name in arguments.kill if name in KILLS):
            home = Home(folder / "spark")
            shutil.copytree(made.path, home.path)
            kill_it(home, expected, folder)
            engines.check(expected, home)
            shutil.rmtree(home.path)
        if INCREMENT in arguments.kill:
            kill_the_increment(made, folder)
        print("all snapshots are those of DuckDB")
        if SCORES in arguments.kill:
            kill_the_scores(folder)


def kill_an_executor(home: Home, _expected: Home, folder: Path) -> None:
    """A build that finishes although an executor is killed."""
    with cluster(folder) as (address, processes), building(home, address, folder) as build:
        wait_for_a_file(home.snapshots, SNAPSHOTS, build)
        os.kill(executors(processes[-1])[0], signal.SIGKILL)
        code = build.wait(BUILD_S)
        expect(code == 0, f"the build without an executor ended with {code}")
    print("an executor was killed, and the build finished")


def kill_the_cluster(home: Home, expected: Home, folder: Path) -> None:
    """A build that ends with an error, and the next one, which continues."""
    with cluster(folder) as (address, processes), building(home, address, folder) as build:
        wait_for_a_file(home.snapshots, SNAPSHOTS, build)
        kill(processes)
        code = build.wait(BUILD_S)
    message = (folder / "build.log").read_text().strip()
    expect(code == 1 and len(message.splitlines()) == 1, f"the build ended with {code}: {message}")
    print(f"the cluster was killed, and the build said: {message}")
    continue_build(home, expected, folder)


def kill_the_build(home: Home, expected: Home, folder: Path) -> None:
    """A build that is killed, and the next one, which continues."""
    with cluster(folder) as (address, _), building(home, address, folder) as build:
        wait_for_a_file(home.snapshots, SNAPSHOTS, build)
        build.kill()
    expect(not list(home.snapshots.rglob("current.json")), "the killed build looks whole")
    print("the build was killed")
    continue_build(home, expected, folder)
    expect(not list((home.path / "spark").glob("build-*")), "a folder of the killed build is left")


def kill_the_increment(made: Home, folder: Path) -> None:
    """A build that begins with the one of the day before and is killed, and the next one, which continues."""
    yesterday, today = build_day.DAYS
    home, expected = (Home(folder / name) for name in ("increment", "increment-by-duckdb"))
    shutil.copytree(made.path, home.path)
    home.write_shop(replace(home.shop(), clock=Clock(yesterday)))
    snapshots.build(home, monthly=False)
    home.write_shop(replace(home.shop(), clock=Clock(today)))
    shutil.copytree(home.path, expected.path)
    snapshots.store(expected, [today])  # of the whole history
    snapshots.build(expected, monthly=False)  # the rest
    base = bases.choose(home, groups_of(home), snapshots.folders_of(home), [today])
    expect(base.moment == yesterday, f"the build computes {base.sentence}")
    known = [*home.snapshots.rglob(SNAPSHOTS)]
    with cluster(folder) as (address, _), building(home, address, folder) as build:
        wait_for_a_file(home.snapshots, SNAPSHOTS, build, known)
        build.kill()
    print("a build after a day was killed")
    continue_build(home, expected, folder)
    engines.check(expected, home)


def kill_the_scores(folder: Path) -> None:
    """A score job that is killed, and the same command, which continues it."""
    home, whole, out = Home(folder / "trained"), folder / "whole.parquet", folder / "scores.parquet"
    homes.build(home.path)
    homes.run(home.path, ["score", "--out", str(whole)])
    known = [*home.score_jobs.rglob(PARTS)]
    with cluster(folder) as (address, _), scoring(home, address, folder, out) as process:
        wait_for_a_file(home.score_jobs, PARTS, process, known)
        process.kill()
    (killed,) = (job for job in ScoreJobStore(home).list_jobs() if job.status == "interrupted")
    stored = {path: path.stat().st_mtime_ns for path in (home.score_jobs / killed.id).glob(PARTS)}
    expect(not out.exists(), "the killed command left a file")
    expect(0 < len(stored) < killed.chunks, f"{len(stored)} of {killed.chunks} parts were stored")
    with cluster(folder) as (address, _), scoring(home, address, folder, out) as process:
        code = process.wait(BUILD_S)
        expect(code == 0, f"the next command ended with {code}")
    expect(all(path.stat().st_mtime_ns == at for path, at in stored.items()), "a part was written again")
    expect(pq.read_table(out).equals(pq.read_table(whole)), "the scores are not those without Spark")
    print(f"the scores were killed at {len(stored)} of {killed.chunks} parts, and the next command wrote all")


def continue_build(home: Home, expected: Home, folder: Path) -> None:
    """Build again; the snapshots that are stored must be whole, and are not computed again."""
    stored = {path: path.stat().st_mtime_ns for path in home.snapshots.rglob(SNAPSHOTS)}
    for path in stored:
        whole = pq.read_metadata(expected.snapshots / path.relative_to(home.snapshots)).num_rows
        expect(pq.read_metadata(path).num_rows == whole, f"{path} is not whole")
    with cluster(folder) as (address, _), building(home, address, folder) as build:
        code = build.wait(BUILD_S)
        expect(code == 0, f"the next build ended with {code}")
    expect(all(path.stat().st_mtime_ns == at for path, at in stored.items()), "a file was written again")
    print(f"{len(stored)} snapshots were whole, and the next build computed the others")


CHOICES = ("executor", "cluster", "build", INCREMENT, SCORES)
KILLS = {"executor": kill_an_executor, "cluster": kill_the_cluster, "build": kill_the_build}

if __name__ == "__main__":
    main()
