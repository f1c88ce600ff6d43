"""A Spark cluster of several processes on the loopback interface, and commands that run on it.

The cluster is Spark's standalone one: a master and two workers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pyspark

from benchmarks.harness.servers import HOST, free_port
from core.errors import PatronError
from core.home import Home
from core.storage.spark_watch import TIMEOUT

WORKERS, BUILD_S = 2, 600.0
LOST_S = 15  # without executors, after which a build ends
CHUNK = 200  # customers in a part of a score job
EXECUTOR = "CoarseGrainedExecutorBackend"
CONFIGURATION = f"""
spark.driver.host {HOST}
spark.driver.bindAddress {HOST}
spark.executor.memory 1g
spark.sql.shuffle.partitions 4
spark.ui.enabled false
{TIMEOUT} {LOST_S}
"""


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
