"""Builds and a score job on a Spark cluster of several processes, of which some are killed.

A master and two workers run on the loopback interface, as Spark's standalone cluster. An executor is killed
when the first snapshot of a build is stored: the build finishes, with the values of a build by DuckDB. Then
all processes of the cluster are killed at that moment: the build ends with one sentence. Then the build
itself is killed. Each leaves whole snapshots only, and the next build, on a new cluster, computes the others.
Last, `patron score` is killed when the first part of its job is stored: there is no file, and the same
command, run again, scores the other parts and writes the file of a job without Spark.

    python -m torture.spark [--events N] [--kill executor|cluster|build|scores ...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pyspark

from benchmarks import engines, lakes
from benchmarks.harness import homes, rounds
from benchmarks.harness.servers import HOST, free_port
from core.errors import PatronError
from core.home import Home
from core.storage.spark_watch import TIMEOUT
from features.offline import snapshots
from records.score_jobs import ScoreJobStore

WORKERS, START_S, BUILD_S = 2, 60.0, 600.0
LOST_S = 15  # without executors, after which a build ends
SCORES = "scores"  # of what is killed
PARTS, CHUNK = "part-*.parquet", 200  # of a score job; customers in a part
EXECUTOR = "CoarseGrainedExecutorBackend"
CONFIGURATION = f"""
spark.driver.host {HOST}
spark.driver.bindAddress {HOST}
spark.executor.memory 1g
spark.sql.shuffle.partitions 4
spark.ui.enabled false
{TIMEOUT} {LOST_S}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds by Spark whose cluster is killed.")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--kill", nargs="+", choices=[*KILLS, SCORES], default=[*KILLS, SCORES])
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
        print("all snapshots are those of DuckDB")
        if SCORES in arguments.kill:
            kill_the_scores(folder)


def kill_an_executor(home: Home, _expected: Home, folder: Path) -> None:
    """A build that finishes although an executor is killed."""
    with cluster(folder) as (address, processes), building(home, address, folder) as build:
        wait_for_a_file(home.snapshots, "*.parquet", build)
        os.kill(executors(processes[-1])[0], signal.SIGKILL)
        code = build.wait(BUILD_S)
        expect(code == 0, f"the build without an executor ended with {code}")
    print("an executor was killed, and the build finished")


def kill_the_cluster(home: Home, expected: Home, folder: Path) -> None:
    """A build that ends with an error, and the next one, which continues."""
    with cluster(folder) as (address, processes), building(home, address, folder) as build:
        wait_for_a_file(home.snapshots, "*.parquet", build)
        kill(processes)
        code = build.wait(BUILD_S)
    message = (folder / "build.log").read_text().strip()
    expect(code == 1 and len(message.splitlines()) == 1, f"the build ended with {code}: {message}")
    print(f"the cluster was killed, and the build said: {message}")
    continue_build(home, expected, folder)


def kill_the_build(home: Home, expected: Home, folder: Path) -> None:
    """A build that is killed, and the next one, which continues."""
    with cluster(folder) as (address, _), building(home, address, folder) as build:
        wait_for_a_file(home.snapshots, "*.parquet", build)
        build.kill()
    expect(not list(home.snapshots.rglob("current.json")), "the killed build looks whole")
    print("the build was killed")
    continue_build(home, expected, folder)
    expect(not list((home.path / "spark").glob("build-*")), "a folder of the killed build is left")


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
    stored = {path: path.stat().st_mtime_ns for path in home.snapshots.rglob("*.parquet")}
    for path in stored:
        whole = pq.read_metadata(expected.snapshots / path.relative_to(home.snapshots)).num_rows
        expect(pq.read_metadata(path).num_rows == whole, f"{path} is not whole")
    with cluster(folder) as (address, _), building(home, address, folder) as build:
        code = build.wait(BUILD_S)
        expect(code == 0, f"the next build ended with {code}")
    expect(all(path.stat().st_mtime_ns == at for path, at in stored.items()), "a file was written again")
    print(f"{len(stored)} snapshots were whole, and the next build computed the others")


@contextmanager
def cluster(folder: Path, hidden: Path | None = None) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a cluster, and its processes: the master, then the workers.

    Args:
        hidden: a folder which is empty to these processes.
    """
    port = free_port()
    address = f"spark://{HOST}:{port}"
    master = ["master.Master", "--port", str(port)]
    worker = ["worker.Worker", "--cores", "1", "--memory", "2g", "--work-dir", str(folder / "work"), address]
    processes: list[subprocess.Popen[bytes]] = []
    with open(folder / "cluster.log", "ab") as log:
        try:
            for arguments in (master, *[worker] * WORKERS):
                processes.append(start(arguments, log.fileno(), hidden))
            yield address, processes
        finally:
            kill(processes)


def start(arguments: Sequence[str], log: int, hidden: Path | None) -> subprocess.Popen[bytes]:
    """A process of a cluster."""
    spark = Path(pyspark.__file__).parent
    command = [str(spark / "bin" / "spark-class"), f"org.apache.spark.deploy.{arguments[0]}"]
    command += ["--host", HOST, "--webui-port", "0", *arguments[1:]]
    if hidden is not None:
        mount = 'mount -t tmpfs none "$0" && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", mount, str(hidden), *command]
    environment = os.environ | {"SPARK_HOME": str(spark), "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def executors(worker: subprocess.Popen[bytes]) -> list[int]:
    """The processes that a worker started for applications."""
    threads = Path(f"/proc/{worker.pid}/task").iterdir()
    children = [pid for thread in threads for pid in (thread / "children").read_text().split()]
    return [int(pid) for pid in children if EXECUTOR in Path(f"/proc/{pid}/cmdline").read_text()]


def kill(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Kill processes of a cluster with the executors that they started."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def building(home: Home, address: str, folder: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A build by Spark in a process of its own."""
    return running(home, address, folder, "-m", "patron", "build", "--no-monthly")


def scoring(
    home: Home, address: str, folder: Path, out: Path
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """`patron score` by Spark in a process of its own, with parts of few customers."""
    code = f"import patron, sys; from records import score_jobs; score_jobs.CHUNK = {CHUNK}"
    code += "; sys.exit(patron.main())"
    return running(home, address, folder, "-c", code, "score", "--out", str(out))


@contextmanager
def running(home: Home, address: str, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command by Spark in a process of its own, whose errors are in ``build.log``."""
    configuration = folder / "conf"
    configuration.mkdir(exist_ok=True)
    (configuration / "spark-defaults.conf").write_text(CONFIGURATION)
    command = [sys.executable, *arguments, "--engine", "spark"]
    environment = os.environ | {
        "PATRON_HOME": str(home.path), "PATRON_SPARK_MASTER": address, "SPARK_CONF_DIR": str(configuration),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }  # fmt: skip
    with open(folder / "build.log", "wb") as log:
        process = subprocess.Popen(command, env=environment, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for_a_file(
    folder: Path, pattern: str, process: subprocess.Popen[bytes], known: Sequence[Path] = ()
) -> None:
    """Return when a process has stored its first file, which is not among those known before."""
    until = time.monotonic() + BUILD_S
    while {*folder.rglob(pattern)} <= {*known}:
        expect(process.poll() is None, "the command ended before its first file")
        expect(time.monotonic() < until, "the command stored no file")
        time.sleep(0.05)


def expect(true: bool, otherwise: str) -> None:
    """Raise an error unless something is true."""
    if not true:
        raise PatronError(otherwise)


KILLS = {"executor": kill_an_executor, "cluster": kill_the_cluster, "build": kill_the_build}

if __name__ == "__main__":
    main()
