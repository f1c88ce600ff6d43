"""Previews of plans for pages: computed in the background for the customers of the last build, one at a time.

A preview is a job like a plan, in a folder of its own. It is not listed, released or resumed, and a new one
replaces it after a while.
"""

from __future__ import annotations

import threading
import time

from core.errors import PatronError, StoreUnavailable
from features.offline.current import NoSuchSegment, members
from records.job import SERVICE, filters_of, segment_of
from records.job_worker import JobWorker
from records.plans.store import PlanJob, PlanPreviewStore
from serving.decisions.decider import Decider
from serving.http.problems import Unprocessable
from serving.plans.background import compute, new_plan
from serving.plans.schemas import PlanRequest

FRESH_S, FAILED_S = 600.0, 10.0
"""For so many seconds a preview, or one that failed, answers the same request."""


class PlanPreviews:
    """The previews of the service."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self.store = PlanPreviewStore(decider.scorer.home)
        self._worker = JobWorker(self.store, self._work)

    def find_or_start(self, request: PlanRequest, caller: str) -> PlanJob:
        """The recent preview of a request as it stands, or else a new one, which is computed from now on.

        Raises:
            JobRunning: the preview of another request is being computed.
            Unprocessable: there is no such segment or channel.
            PatronError: the actions or a store cannot be used.
        """
        segment = segment_of(request.segment)
        try:
            keys = members(self._decider.scorer.home, filters_of(segment))
        except NoSuchSegment as error:
            raise Unprocessable(f"segment: {error}") from error
        plan = new_plan(
            self._decider, segment, request.channels, request.language, request.budget, SERVICE, caller
        )
        for stored in self.store.list_jobs():
            if stored.request == plan.request and _answers(stored):
                return stored
        return self._worker.start(lambda: self.store.create(plan, [keys]))

    def close(self) -> None:
        """Leave the preview that is being computed."""
        self._worker.close()

    def _work(self, plan: PlanJob, shutdown: threading.Event) -> None:
        try:
            compute(self._decider, self.store, plan, shutdown=shutdown)
        except StoreUnavailable as error:  # a page says so, instead of waiting until the store is back
            raise PatronError(str(error)) from error


def _answers(plan: PlanJob) -> bool:
    age_s = (time.time_ns() - plan.order) / 1e9
    limits = {"done": FRESH_S, "running": FRESH_S, "failed": FAILED_S}
    return age_s < limits.get(plan.status, 0.0)
