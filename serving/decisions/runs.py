"""Runs: a decision for everybody in a segment, in the background of the service or from the command line."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from core.progress import Progress, silent
from decisions.reasons import Language
from decisions.results.newest_funnel import store_of_run
from decisions.rules.tree import Rule
from decisions.rules.writing import text_of
from records.decision import DecisionRequest
from records.job import SERVICE, Segment
from records.job_worker import JobWorker
from records.plans.store import PlanJob
from records.runs import DecisionRun, RunStore
from serving.decisions.budgets.planned import begin_release, new_release, planned_keys, rules_of, unmerged
from serving.decisions.budgets.requests import request_now
from serving.decisions.decider import Decider
from serving.decisions.selection import read_rule, select_keys

BATCH = 25  # customers per transaction, so that a request of the API does not wait long for the store


class DecisionRuns:
    """The runs of the service, one at a time; one that was interrupted is resumed."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self.store = RunStore(decider.log)
        self._worker = JobWorker(self.store, self._work)

    def start(
        self,
        segment: Segment,
        channels: Sequence[str] | None,
        language: Language,
        caller: str,
        run_id: str,
        rule: str | None = None,
    ) -> DecisionRun:
        """Start a run; returns as soon as its customers are stored.

        Raises:
            JobRunning: another run is not done yet.
            Unprocessable: there is no such segment or channel, or the rule is none.
            PatronError: the actions or a store cannot be used.
        """
        rules = self._decider.rules()
        question = self._decider.question(rules, channels, caller)
        target = read_rule(self._decider.scorer.home, rules, rule)
        keys = select_keys(self._decider.scorer, segment, target)
        run = replace(new_run(question, segment, language, SERVICE, target), id=run_id)
        return self._worker.start(lambda: self.store.create(run, [keys]))

    def release(self, plan: PlanJob, caller: str) -> DecisionRun:
        """The run that releases a plan: a new one, or the one that was started before, resumed if it must be.

        Raises:
            JobRunning: another run is not done yet.
            NotReleasable: the plan cannot be released; the message says why.
            PatronError: a store cannot be used.
        """
        run = self.store.find(plan.id)
        if run is None:
            run = new_release(self._decider, plan, SERVICE, caller)
            keys = planned_keys(self._decider, plan)
            return self._worker.start(lambda: self.store.create(run, [keys]))
        return run if run.status in ("running", "done") else self._worker.restart(run)

    def resume(self) -> None:
        """Resume the runs that a service started and did not finish."""
        self._worker.resume()

    def close(self) -> None:
        """Leave the running run after its present batch; it is then interrupted."""
        self._worker.close()

    def _work(self, run: DecisionRun, shutdown: threading.Event) -> None:
        decide_all(self._decider, self.store, run, shutdown=shutdown)


def new_run(
    question: DecisionRequest, segment: Segment, language: Language, origin: str, rule: Rule | None = None
) -> DecisionRun:
    """A run that asks this question, to be stored with its customers."""
    return DecisionRun(
        at=question.at, segment=segment, origin=origin, caller=question.caller,
        channels=question.channels, language=language, rules=question.rules,
        rule=None if rule is None else text_of(rule),
    )  # fmt: skip


def decide_all(
    decider: Decider,
    store: RunStore,
    run: DecisionRun,
    progress: Progress = silent,
    shutdown: threading.Event | None = None,
) -> None:
    """Decide for the customers of a run who have no decision in it yet, in small batches, in order.

    The actions are those with which the run began. Each batch is decided for the shop's day on which it is
    decided, so a run that is resumed on another day respects the decisions of that day. Customers whose ids
    were deleted since are left out.

    Raises:
        Interrupted: ``shutdown`` was set.
        PatronError: a store is missing or unreadable, or the actions cannot be used any more.
    """
    rules = rules_of(decider, run.rules)
    identity = decider.scorer.identity
    planned = begin_release(decider, run)
    for start in range(store.resume_at(run), run.total, BATCH):
        store.check(run, shutdown or threading.Event())
        progress("deciding", start / run.total)
        keys = store.customers(run, start, BATCH).tolist()
        ids = identity.ids(keys)
        if planned is not None:
            ids = unmerged(identity, ids)
        places = [start + i for i, key in enumerate(keys) if key in ids]
        customers = {key: ids[key] for key in keys if key in ids}
        question = request_now(decider.scorer, rules, run.channels, run.caller or "api", run.id)
        if planned is None:
            decider.decide(customers, question, rules, "bulk", places)
        else:
            decider.release(customers, question, rules, planned, places)
        if decider.scorer.log is not None:
            decider.scorer.log.wait()
    if planned is None:  # a release decides only for those who get an action
        store_of_run(decider.log, run, rules)
    progress("deciding", 1.0)
