"""The supervisor of the worker processes of a service, and the files in which workers keep their metrics."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from serving.edge import balance
from serving.http import metrics

START_SECONDS = 120.0  # that a worker may take until it answers requests
_log = logging.getLogger(__name__)


class DeathCounter:
    """The metric of dead workers, in a file of its own; the supervisor has no other metrics."""

    def __init__(self) -> None:
        kind = values.MultiProcessValue(lambda: "supervisor")  # type: ignore[no-untyped-call]
        name, words = "patron_worker_deaths", "Workers that died or hung, and were replaced."
        self._counter: Any = kind("counter", name, f"{name}_total", (), (), words)

    def increment(self) -> None:
        """Count a worker."""
        self._counter.inc(1)

    def close(self) -> None:
        """Close the file."""
        self._counter._file.close()


class NotifyingSupervisor(Multiprocess):
    """A supervisor of workers that calls ``ready`` when all of them answer.

    It logs the death of a worker, and removes the gauges of workers that ended.

    Args:
        folder: of the metrics of the workers.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket],
        ready: Callable[[], None],
        folder: Path,
    ) -> None:
        super().__init__(config, sockets)
        self._ready, self._folder = ready, folder
        self._deaths = DeathCounter()

    def init_processes(self) -> None:
        """Start the workers, and call ``ready``."""
        super().init_processes()
        self._close_child_ends()
        if all(process.wait_until_ready(START_SECONDS) for process in self.processes):
            self._ready()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died."""
        before, codes = [*self.processes], [process.exitcode for process in self.processes]
        begun = time.monotonic()
        super().keep_subprocess_alive()
        self._close_child_ends()
        # One that did not answer for so long was killed above, so its exit code says nothing.
        hung = time.monotonic() - begun >= self.config.timeout_worker_healthcheck
        for old, code, new in zip(before, codes, self.processes, strict=True):
            if old is not new:
                self._deaths.increment()
                self._remove_gauges(old)
                _log_death(old, code if code is not None or hung else old.exitcode, new)

    def restart_all(self) -> None:
        """Replace each worker by a new one that answers already."""
        before = [*self.processes]
        super().restart_all()
        self._close_child_ends()
        for old in before:
            if old not in self.processes:
                self._remove_gauges(old)

    def handle_ttou(self) -> None:
        """End one worker."""
        before = [*self.processes]
        super().handle_ttou()
        for old in before:
            if old not in self.processes:
                self._remove_gauges(old)

    def _remove_gauges(self, process: Process) -> None:
        mark_process_dead(process.pid, str(self._folder))  # type: ignore[no-untyped-call]
        balance.forget(self._folder, process.pid)

    def _close_child_ends(self) -> None:
        # Without a copy of a worker's end of the pipe the supervisor notices its death at once. With one it
        # would wait a minute for the answer to a ping, and replace no other worker meanwhile.
        for process in self.processes:
            process.child_conn.close()


@contextmanager
def metrics_folder() -> Iterator[Path]:
    """A folder, private to this user, for the metrics of the workers that the block starts."""
    with TemporaryDirectory(prefix="patron-metrics-") as folder:
        os.environ[metrics.FOLDER] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ[metrics.FOLDER]


def _log_death(old: Process, code: int | None, new: Process) -> None:
    """Log that a worker was replaced; its exit code is None if it hung."""
    cause = f"was ended by signal {-code}" if code is not None and code < 0 else f"exited with {code}"
    if code is None:
        cause = "did not answer"
    fields = {"worker": old.pid, "exit_code": code, "replacement": new.pid}
    _log.error("worker %s %s; worker %s replaces it", old.pid, cause, new.pid, extra={"fields": fields})
