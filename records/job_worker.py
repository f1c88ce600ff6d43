"""Executes the jobs of one kind in a thread, one at a time; resumes interrupted ones."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Generic

from core.errors import StoreUnavailable, in_words
from records.job import SERVICE, JobRunning
from records.jobs import JobStore, JobT

RETRY_SECONDS = 1.0
_log = logging.getLogger(__name__)


class JobWorker(Generic[JobT]):
    """Executes jobs in the background.

    Args:
        work: does the remaining work of a job; calls :meth:`JobStore.check` between two batches, with the
            event that it is given. It is called again if a store was unavailable.
    """

    def __init__(self, store: JobStore[JobT], work: Callable[[JobT, threading.Event], None]) -> None:
        self._store, self._work = store, work
        self._starting = threading.Lock()
        self._shutdown = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, create: Callable[[], JobT]) -> JobT:
        """Create a job and execute it in the background; returns once the job runs.

        Raises:
            JobRunning: another job of this kind is running.
            PatronError: ``create`` raised it.
        """
        with self._starting:
            self._store.refuse_if_running()
            job = create()
            try:
                self._execute(job)
            except JobRunning:  # another process started one first
                self._store.delete(job.id)
                raise
        return job

    def restart(self, job: JobT) -> JobT:
        """Execute the rest of a stored job in the background; returns once it runs.

        Raises:
            JobRunning: another job of this kind is running.
        """
        with self._starting:
            self._execute(job)
        return job

    def resume(self) -> None:
        """Resume the interrupted jobs of services, the oldest first, unless another process executes them."""
        waiting = [
            job for job in self._store.list_jobs() if (job.status, job.origin) == ("interrupted", SERVICE)
        ]
        if waiting:
            self._run(lambda: self._resume(waiting[::-1]))

    def close(self) -> None:
        """Interrupt the running job after its current batch."""
        self._shutdown.set()
        if self._thread is not None:
            self._thread.join()

    def _execute(self, job: JobT) -> None:
        execution = ExitStack()
        execution.enter_context(self._store.execute(job))
        self._run(lambda: self._finish(job, execution))

    def _run(self, target: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=target, name=f"{self._store.noun}-worker", daemon=True)
        self._thread.start()

    def _resume(self, waiting: list[JobT]) -> None:
        for job in waiting:
            execution = ExitStack()
            try:
                execution.enter_context(self._store.execute(job))
            except JobRunning:
                return  # another process started one first
            self._finish(job, execution)
            if self._shutdown.is_set():
                return

    def _work_until_done(self, job: JobT) -> None:
        """Do a job's work. While a store is unavailable, the job stays running, and goes on afterwards."""
        logged = False
        while True:
            try:
                self._work(job, self._shutdown)
                return
            except StoreUnavailable as error:
                if not logged:
                    _log.error("the %s %s waits: %s", self._store.noun, job.id, error)
                logged = True
            self._shutdown.wait(RETRY_SECONDS)
            self._store.check(job, self._shutdown)

    def _finish(self, job: JobT, execution: ExitStack) -> None:
        try:
            with execution:
                self._work_until_done(job)
        except Exception as error:
            _log.error("the %s %s failed: %s", self._store.noun, job.id, in_words(error))
