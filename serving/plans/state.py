"""A stored plan, and what became of its release, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from core.errors import PatronError
from decisions.reasons import Language
from records import runs
from records.plans.store import PlanJob, PlanStore
from records.runs import DecisionRun, RunStore
from serving.decisions.budgets.planned import Unreserved, unreserved
from serving.decisions.decider import Decider
from serving.http.params import Words
from serving.plans.report import rows
from serving.plans.schemas import NotReserved, PlanRelease, PlanReport, PlanRow, PlanState

_WORDS: Mapping[Unreserved, Words] = {
    "eligible": Words(en="no longer match the rule", zh="不再符合条件"),
    "suitable": Words(en="the value is unknown now, or the action would harm", zh="价值未知，或效果为负"),
    "consented": Words(en="may not be contacted by this channel any more", zh="已不可通过该渠道联系"),
    "within_limits": Words(en="reached a limit, or are left alone", zh="已达联系上限，或暂不联系"),
    "within_budget": Words(en="a budget or a capacity is used up", zh="预算或渠道容量已用完"),
    "holdout": Words(en="belong to the lasting holdout", zh="属于长期对照组"),
    "merged": Words(en="were merged into another customer, or deleted", zh="已并入其他客户，或已删除"),
}


def plan_state(decider: Decider, store: PlanStore, plan: PlanJob, limit: int = 0) -> PlanState:
    """A plan as it stands.

    Args:
        limit: so many of its customers are listed.
    """
    run = RunStore(decider.log).find(plan.id)
    return PlanState(
        plan_id=plan.id,
        status=plan.status,
        error=plan.error,
        started_at=plan.at,
        segment=list(plan.segment) if isinstance(plan.segment, tuple) else plan.segment,
        channels=None if plan.channels is None else list(plan.channels),
        budget=plan.money,
        language=cast(Language, plan.language),
        total=plan.total,
        done=plan.done,
        plan=plan_report(store, plan) if plan.status == "done" else None,
        rows=plan_rows(decider, store, plan, limit) if plan.status == "done" and limit else [],
        release=None if run is None else release_state(decider, run),
    )


def plan_report(store: PlanStore, plan: PlanJob) -> PlanReport:
    """What a finished plan does."""
    return PlanReport.model_validate(store.report(plan)["report"])


def plan_rows(decider: Decider, store: PlanStore, plan: PlanJob, limit: int | None = None) -> list[PlanRow]:
    """Who gets what in a finished plan, the most valuable first.

    Raises:
        PatronError: the actions of the plan are missing from the log.
    """
    canonical = decider.log.rules(plan.rules)
    if canonical is None:
        raise PatronError("the actions of this plan are missing from the log of decisions")
    language = cast(Language, plan.language)
    stored, identity = store.rows(plan, limit), decider.scorer.identity
    return [*rows(stored, identity, decider.offers, canonical, language)]


def release_state(decider: Decider, run: DecisionRun) -> PlanRelease:
    """The release of a plan by a run."""
    refused = unreserved(decider, run)
    decided = sum(runs.counts(decider.log, run.id).values())
    nothing = sum(count for name, count in refused.items() if name != "merged")
    return PlanRelease(
        plan_id=run.id,
        run_id=run.id,
        status=run.status,
        error=run.error,
        total=run.total,
        done=run.done,
        reserved=decided - nothing,
        not_reserved=[
            NotReserved(stage=name, customers=count, words=_WORDS[name])
            for name, count in sorted(refused.items(), key=lambda item: -item[1])
        ],
    )
