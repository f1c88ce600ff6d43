"""Score jobs in the background of the service, one at a time; those that were interrupted go on."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence

from core.errors import PatronError
from records import score_jobs as jobs
from records.score_jobs import SERVICE, Job
from serving.score_jobs import engine as bulk
from serving.scores.scorer import Scorer

BEGIN_SECONDS = 5.0
_log = logging.getLogger(__name__)


class ScoreJobs:
    """The jobs that this process carries out."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        # One core is left to those who ask meanwhile.
        self._threads = max(1, (os.cpu_count() or 1) - 1)
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, segment: str | None, models: Sequence[str] | None, caller: str | None) -> Job:
        """Begin a job; returns as soon as its customers are written down.

        Raises:
            JobGoesOn: another one is not done yet.
            NoSuchSegment: there is no such segment; the text says which there are.
            PatronError: no model has a champion, or a store cannot be used.
        """
        champions = self._scorer.champions
        names = list(dict.fromkeys(models or [*champions.models, *champions.unavailable]))
        with self._starting:
            job = bulk.begin(
                self._scorer.home, champions, names, segment=segment, origin=SERVICE, caller=caller
            )
            self._begin([job]).wait(BEGIN_SECONDS)  # until then it would be told as interrupted
        return job

    def resume(self) -> None:
        """Go on with what a service began and did not end, where no other process does."""
        found = jobs.listed(self._scorer.home)
        waiting = [job for job in found if (job.status, job.origin) == ("interrupted", SERVICE)]
        if waiting:
            self._begin(waiting[::-1])

    def stop(self) -> None:
        """Leave the job that goes on, after the chunk that it is at; it is then interrupted."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _begin(self, waiting: Sequence[Job]) -> threading.Event:
        begun = threading.Event()
        self._thread = threading.Thread(
            target=self._carry_out, args=(waiting, self._thread, begun), name="score-jobs", daemon=True
        )
        self._thread.start()
        return begun

    def _carry_out(
        self, waiting: Sequence[Job], before: threading.Thread | None, begun: threading.Event
    ) -> None:
        if before is not None:
            before.join()  # its job is done, and it is about to end
        for job in waiting:
            try:
                bulk.carry_out(
                    self._scorer.home, job, self._scorer.champions, self._threads, self._stop, begun=begun
                )
            except jobs.JobGoesOn:
                return  # another process was sooner
            except PatronError as error:
                _log.error("the score job %s failed: %s", job.id, error)
            except Exception as error:
                _log.error("the score job %s failed: unexpected %s", job.id, type(error).__name__)
            if self._stop.is_set():
                return
