"""Spark with Patron's settings: a session on this machine, or on a cluster of any size.

Everything that concerns the meaning of values is set here: UTC, microseconds, errors in place of overflow.
What a cluster gives its applications (memory, executors, credentials of stores) comes from its own
configuration, ``spark-defaults.conf`` in ``SPARK_CONF_DIR``.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import PatronError
from core.storage import spark_watch

if TYPE_CHECKING:
    from py4j.clientserver import ClientServer
    from pyspark import SparkConf, SparkContext

    from core.storage.spark_backend import SparkBackend

MAJOR = 4
LOG = "spark.log"
_DRIVER_MEMORY = "4g"  # on one machine, as of a build by DuckDB
# Java's second compiler takes as long as all queries of a million events.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"
_ON_THIS_MACHINE = {
    "spark.sql.shuffle.partitions": "8",  # two hundred suit a cluster
    "spark.sql.adaptive.enabled": "false",  # planning again after each step takes longer than it saves
}
"""What a local session uses unless ``spark-defaults.conf`` has another value."""
_SETTINGS = {
    "spark.app.name": "patron",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # an overflow is an error, not another value
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.requireAllClusterKeysForCoPartition": "false",  # those by customer suffice
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.jars.packages": "",  # nothing is downloaded
    "spark.ui.showConsoleProgress": "false",
}


@contextmanager
def connected(master: str, work: Path) -> Iterator[SparkBackend]:
    """A session, which is closed at the end.

    Args:
        master: the address of a cluster, such as ``spark://host:7077``, or ``local[*]`` for this machine.
        work: a folder for Spark's temporary files and its log.

    Raises:
        PatronError: Spark or Java is missing or has another version, or no cluster answers.
    """
    _check_programs()
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    from core.storage.spark_backend import SparkBackend

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # of the executors, where they have it
    with ExitStack() as resources:
        resources.enter_context(_silence())
        with failures(f"it connected to {master}", work):
            # Its messages are for the log, and a line that it prints would not be JSON.
            log = resources.enter_context(open(work / LOG, "wb"))
            settings = _settings(master, work)
            gateway = launch_gateway(conf=settings, popen_kwargs={"stdout": log, "stderr": log})
            resources.callback(_end, gateway)
            context = SparkContext(conf=settings, gateway=gateway)
            resources.callback(_stop, context)
            _check_version(context.version)
            SparkBackend.register_options()
            backend = SparkBackend()
            backend.do_connect(SparkSession(context))
            if _is_local(master):
                for name, value in _ON_THIS_MACHINE.items():
                    if not context.getConf().contains(name):
                        backend.raw_sql(f"SET {name} = {value}")
        if not _is_local(master):
            resources.enter_context(spark_watch.watched(context, master))
        yield backend


@contextmanager
def _silence() -> Iterator[None]:
    """Without what Spark's Python prints of failures, queries and traces: the error and the log say it."""
    root, of_queries = logging.getLogger(), logging.getLogger("SQLQueryContextLogger")
    root.addFilter(_is_not_of_py4j)
    of_queries.disabled = True
    try:
        yield
    finally:
        root.removeFilter(_is_not_of_py4j)
        of_queries.disabled = False


def _is_not_of_py4j(record: logging.LogRecord) -> bool:
    return record.module not in ("clientserver", "java_gateway")


def _stop(context: SparkContext) -> None:
    with suppress(Exception):  # its Java may have ended already
        context.stop()


def _end(gateway: ClientServer) -> None:
    """End the Java of a session; the next session starts its own."""
    from pyspark import SparkContext

    with suppress(Exception):  # it may have ended already
        gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = None
    gateway.proc.stdin.close()
    gateway.proc.wait()


@contextmanager
def failures(doing: str, work: Path) -> Iterator[None]:
    """Raise Spark's failures as errors for people; its messages may quote customers' data.

    Args:
        doing: what Spark was doing, after "while".
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError, ConnectionError, EOFError) as error:
        condition = error.getCondition() if isinstance(error, PySparkException) else None
        kind = f" ({condition})" if condition else ""
        raise PatronError(f"Spark failed{kind} while {doing}; its log is {work / LOG}") from error


def _check_programs() -> None:
    """Raise an error unless Spark of the supported version and a Java are installed."""
    if find_spec("pyspark") is None:
        raise PatronError(
            f"Spark is not installed; install the extra `spark`, that is pyspark {MAJOR}, in this environment"
        )
    import pyspark

    _check_version(pyspark.__version__)
    home = os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else shutil.which("java")
    if java is None or not Path(java).exists():
        raise PatronError(
            f"Spark needs Java 17 or later, and {java or 'no `java`'} was not found; install one, such as"
            " openjdk-17-jre-headless, or set JAVA_HOME"
        )


def _check_version(version: str) -> None:
    if version.partition(".")[0] != str(MAJOR):
        raise PatronError(
            f"this is Spark {version}; Patron needs Spark {MAJOR}, on every machine of the cluster"
        )


def _is_local(master: str) -> bool:
    return master.startswith("local")


def _settings(master: str, work: Path) -> SparkConf:
    from pyspark import SparkConf

    settings = _SETTINGS | {
        "spark.master": master,
        "spark.sql.warehouse.dir": str(work / "warehouse"),
    }
    if _is_local(master):
        settings |= {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": _DRIVER_MEMORY,
            "spark.driver.defaultJavaOptions": _JAVA,
            "spark.local.dir": str(work / "spill"),
            "spark.ui.enabled": "false",
        }
    return SparkConf().setAll(list(settings.items()))
