"""The servers of :mod:`torture.stores`, which are stopped and suspended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import servers
from benchmarks.harness.postgres import PostgresServer
from torture import serving


@dataclass(frozen=True)
class StoreServer:
    """The server of a store; ``start`` returns once it answers."""

    name: str
    stop: Callable[[], None]
    start: Callable[[], None]
    suspend: Callable[[], None]
    resume: Callable[[], None]


@dataclass
class Mlflow:
    """An MLflow server with its own folder."""

    folder: Path
    port: int = field(default_factory=servers.free_port)

    def start(self) -> None:
        """Start the server; return once it answers."""
        service = servers.mlflow(self.folder)
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                service.command(self.port), env={**os.environ, **service.environment},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + servers.START_SECONDS
        while servers.status(self.port, "/health") != 200:
            if time.monotonic() > deadline:
                raise SystemExit("MLflow does not start")
            time.sleep(0.1)

    def send(self, sign: signal.Signals) -> None:
        """Send a signal to the server and its workers."""
        os.killpg(self._process.pid, sign)
        if sign == signal.SIGKILL:
            self._process.wait(30)


def stores(postgres: PostgresServer, redis: serving.Redis, mlflow: Mlflow) -> list[StoreServer]:
    """The three servers."""
    return [
        StoreServer("PostgreSQL", postgres.stop, postgres.start, postgres.suspend, postgres.resume),
        StoreServer(
            "Redis", lambda: redis.send(signal.SIGTERM), redis.start,
            lambda: redis.send(signal.SIGSTOP), lambda: redis.send(signal.SIGCONT),
        ),
        StoreServer(
            "MLflow", lambda: mlflow.send(signal.SIGKILL), mlflow.start,
            lambda: mlflow.send(signal.SIGSTOP), lambda: mlflow.send(signal.SIGCONT),
        ),
    ]  # fmt: skip
