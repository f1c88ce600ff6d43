"""Score jobs in the background of the service, one at a time; interrupted ones are resumed."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from records.job import SERVICE, Segment
from records.job_worker import JobWorker
from records.score_jobs import ScoreJob, ScoreJobStore
from serving.score_jobs import scoring
from serving.scores.scorer import Scorer


class ScoreJobs:
    """The score jobs of the service."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.store = ScoreJobStore(scorer.home)
        # One core is left to requests.
        self._threads = max(1, (os.cpu_count() or 1) - 1)
        self._worker = JobWorker(self.store, self._work)

    def start(
        self, segment: Segment, models: Sequence[str] | None, caller: str | None, job_id: str
    ) -> ScoreJob:
        """Start a job; returns as soon as its customers are stored.

        Raises:
            JobRunning: another job is not done yet.
            NoSuchSegment: there is no such segment; the text says which there are.
            PatronError: no model has a champion, or a store cannot be used.
        """
        champions = self._scorer.champions
        names = list(dict.fromkeys(models or [*champions.models, *champions.unavailable]))
        return self._worker.start(
            lambda: scoring.create_job(
                self.store, champions, names, segment=segment, origin=SERVICE, caller=caller, job_id=job_id
            )
        )

    def resume(self) -> None:
        """Resume the jobs that a service started and did not finish."""
        self._worker.resume()

    def close(self) -> None:
        """Leave the running job after its present chunk; it is then interrupted."""
        self._worker.close()

    def _work(self, job: ScoreJob, shutdown: threading.Event) -> None:
        scoring.score_job(self.store, job, self._scorer.champions, self._threads, shutdown)
