"""Plans in the background of the service, one at a time; interrupted ones are made anew."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from core.progress import Progress, silent
from decisions.reasons import Language
from records.job import SERVICE, Segment
from records.job_worker import JobWorker
from records.plans.store import PlanJob, PlanStore
from serving.decisions.budgets.planned import rules_of
from serving.decisions.budgets.requests import request_now
from serving.decisions.decider import Decider
from serving.decisions.selection import select_keys
from serving.plans.planner import plan_shop
from serving.plans.report import prices, report, table


class Plans:
    """The plans of the service."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self.store = PlanStore(decider.scorer.home)
        self._worker = JobWorker(self.store, self._work)

    def start(
        self,
        segment: Segment,
        channels: Sequence[str] | None,
        language: Language,
        money: float | None,
        caller: str,
        plan_id: str,
    ) -> PlanJob:
        """Start a plan; returns as soon as its customers are stored.

        Raises:
            JobRunning: another plan is not done yet.
            Unprocessable: there is no such segment or channel.
            PatronError: the actions or a store cannot be used.
        """
        plan = new_plan(self._decider, segment, channels, language, money, SERVICE, caller)
        keys = select_keys(self._decider.scorer, segment)
        return self._worker.start(lambda: self.store.create(replace(plan, id=plan_id), [keys]))

    def resume(self) -> None:
        """Make the plans that a service started and did not finish."""
        self._worker.resume()

    def close(self) -> None:
        """Leave the plan that is being made; it is then interrupted."""
        self._worker.close()

    def _work(self, plan: PlanJob, shutdown: threading.Event) -> None:
        compute(self._decider, self.store, plan, shutdown=shutdown)


def new_plan(
    decider: Decider,
    segment: Segment,
    channels: Sequence[str] | None,
    language: Language,
    money: float | None,
    origin: str,
    caller: str,
) -> PlanJob:
    """A plan, to be stored with its customers.

    Raises:
        Unprocessable: there is no such channel.
        PatronError: the actions cannot be used.
    """
    question = decider.question(decider.rules(), channels, caller)
    return PlanJob(
        at=question.at, segment=segment, origin=origin, caller=caller, channels=question.channels,
        language=language, rules=question.rules, money=money,
    )  # fmt: skip


def compute(
    decider: Decider,
    store: PlanStore,
    plan: PlanJob,
    progress: Progress = silent,
    shutdown: threading.Event | None = None,
) -> None:
    """Make a plan for its customers, by the actions with which it began, and store it.

    Raises:
        Interrupted: ``shutdown`` was set.
        Infeasible: a constraint cannot be met; the message names it.
        PatronError: a store is missing or unreadable, or the actions cannot be used any more.
    """

    def step(stage: str, share: float) -> None:
        store.check(plan, shutdown or threading.Event())
        store.record_share(plan, share)
        progress(stage, share)

    rules = rules_of(decider, plan.rules)
    question = request_now(decider.scorer, rules, plan.channels, plan.caller or "api")
    keys = store.customers(plan, 0, plan.total).tolist()
    planned = plan_shop(decider, question, rules, keys, plan.money, step)
    language: Language = "zh" if plan.language == "zh" else "en"
    content = report(planned, language).model_dump(mode="json")
    store.save(plan, table(planned), {"report": content, "prices": prices(planned)})
