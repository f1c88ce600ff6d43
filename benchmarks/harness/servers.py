"""Server processes that a benchmark starts, measures and ends."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Service:
    """How to start a server.

    Attributes:
        command: takes a port of the loopback interface, and returns the command to run.
        ready: the path that returns 200, or 401 where it needs a key, once the server is up.
        environment: added to this process's own.
    """

    command: Callable[[int], list[str]]
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """A started server."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path


def uvicorn(factory: str) -> Service:
    """One uvicorn worker over an application factory, ``package.module:function``."""
    quiet = ["--no-access-log", "--log-level", "warning"]
    head = [sys.executable, "-m", "uvicorn", "--factory", factory, "--host", HOST, *quiet, "--port"]
    return Service(lambda port: [*head, str(port)], "/openapi.json")


def mlflow(folder: Path, backend: str | None = None) -> Service:
    """An MLflow server with one worker and without jobs, as the documentation starts it.

    Args:
        folder: of its files.
        backend: the URI of its tables; by default of an SQLite file in the folder.
    """
    tables = backend or f"sqlite:///{folder / 'mlflow.db'}"
    places = ["--backend-store-uri", tables, "--artifacts-destination", str(folder / "files")]
    head = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", HOST]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return Service(lambda port: [*head, *places, "--port", str(port)], "/health", environment)


@contextmanager
def running(
    services: Mapping[str, Service], environment: Mapping[str, str], logs: Path
) -> Iterator[dict[str, Server]]:
    """Start services in parallel; they are up when the block begins, and are ended after it.

    Args:
        environment: added to this process's own.
        logs: a folder for their output.

    Raises:
        RuntimeError: one is not up within ``START_SECONDS``; the message has the end of its output.
    """
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(_started(name, service, environment, logs))
            for name, service in services.items()
        }
        for name, server in started.items():
            _wait_until_up(server, services[name].ready)
        yield started


@contextmanager
def redis(program: str, folder: Path) -> Iterator[int]:
    """A Redis without persistence for the duration of the block; yields its port.

    Args:
        program: the path of ``redis-server``.
        folder: its working directory.
    """
    port = free_port()
    options = ["--port", str(port), "--bind", HOST, "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield port
    finally:
        _stop(process)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def _started(name: str, service: Service, environment: Mapping[str, str], logs: Path) -> Iterator[Server]:
    port, path = free_port(), logs / f"{name}.log"
    with open(path, "wb") as log:
        process = subprocess.Popen(
            service.command(port), env={**os.environ, **service.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield Server(name, port, process, path)
    finally:
        _stop(process)


def free_port() -> int:
    """A port that is not in use at present."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_up(server: Server, path: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        if status(server.port, path) in (200, 401):
            return
        time.sleep(0.1)
    printed = server.log.read_text(errors="replace")
    raise RuntimeError(f"{server.name} did not come up; it printed:\n{printed[-4000:]}")


def wait_until(
    condition: Callable[[], T], seconds: float = START_SECONDS, ignored: type[Exception] | None = None
) -> T:
    """The first true result of a condition, which is evaluated ten times a second.

    Args:
        ignored: an error of the condition after which it is evaluated again.

    Raises:
        TimeoutError: there is none within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(*([ignored] if ignored else [])):
            if result := condition():
                return result
        time.sleep(0.1)
    raise TimeoutError(f"the condition was not true within {seconds:g} seconds")


def status(port: int, path: str) -> int | None:
    """The status of a response to GET; None if there is none."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
