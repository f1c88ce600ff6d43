"""Released plans: a run that reserves what a plan gives everybody, as far as the present moment permits it.

The run has the id of its plan, so a plan is released once. It reserves in batches, each a transaction, and is
resumed like every run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.calendar import date_of, day_of
from core.errors import PatronError
from decisions.catalogue.actions import Actions
from decisions.catalogue.file import restore
from decisions.checks import Stage
from decisions.holdout import membership
from events.identity import Identity
from records import runs
from records.plans import releases
from records.plans.store import PlanJob, PlanStore
from records.runs import DecisionRun
from serving.decisions.decider import Decider

CHUNK = 5000  # customers per transaction of enrolments
Unreserved = Stage | Literal["holdout", "merged"]
"""Why a customer does not get what was planned: a stage of the funnel, the holdout, or no such customer."""


class NotReleasable(PatronError):
    """A plan that cannot be released; the message says why, and what to do."""


def new_release(decider: Decider, plan: PlanJob, origin: str, caller: str) -> DecisionRun:
    """The run that releases a plan, to be stored with its customers.

    Raises:
        NotReleasable: the plan is not done, or over, the actions have changed since, or it was released
            before and its run is no longer stored.
    """
    with decider.log.reading() as connection:
        if releases.is_released(connection, plan.id):
            raise NotReleasable("the plan was released, and its run is no longer stored; make a new plan")
    if plan.status != "done":
        raise NotReleasable(f"the plan is {plan.status}; plans that are done are released")
    if decider.rules().digest != plan.rules:
        raise NotReleasable("the actions have changed since the plan was made; make a new plan")
    shop = decider.scorer.shop
    if (day := day_of(plan.at, shop.time_zone)) != shop.today():
        raise NotReleasable(f"the plan is of {date_of(day)}, which is over; make a new plan")
    return DecisionRun(
        id=plan.id, at=shop.now(), segment=plan.segment, origin=origin, caller=caller, channels=plan.channels,
        language=plan.language, rules=plan.rules, plan=plan.id,
    )  # fmt: skip


def planned_keys(decider: Decider, plan: PlanJob) -> NDArray[np.int64]:
    """The keys of the customers who get an action, the most valuable first."""
    return np.array([*PlanStore(decider.scorer.home).planned(plan)], np.int64)


def begin_release(decider: Decider, run: DecisionRun) -> dict[int, str] | None:
    """Record the release of a run's plan, whose prices steer single decisions from now on.

    All customers whom the plan considered take part in the holdout, also those who get nothing by it.

    Returns:
        The planned action by customer; None for a run that releases no plan.

    Raises:
        PatronError: the plan is no longer stored.
    """
    if run.plan is None:
        return None
    plans = PlanStore(decider.scorer.home)
    plan = plans.find(run.plan)
    if plan is None:
        raise PatronError("the plan of this run is no longer stored; make a new plan")
    with decider.log.reading() as connection:
        if releases.is_released(connection, plan.id):
            return plans.planned(plan)
    shop, identity = decider.scorer.shop, decider.scorer.identity
    for start in range(0, plan.total, CHUNK):
        keys = plans.customers(plan, start, CHUNK).tolist()
        members = membership(decider.log, identity, keys, shop.now(), shop.time_zone)
        with decider.log.writing() as connection:
            members.enrol(connection)
    with decider.log.writing() as connection:
        releases.record(connection, plan.id, shop.now(), plans.report(plan)["prices"])
    return plans.planned(plan)


def unmerged(identity: Identity, ids: Mapping[int, str]) -> dict[int, str]:
    """Those customers, ids by key, who have not been merged into another since."""
    present = identity.keys([*ids.values()])
    return {key: name for key, name in ids.items() if present.get(name) == key}


def rules_of(decider: Decider, digest: str) -> Actions:
    """The actions with which a run or a plan began.

    Raises:
        PatronError: they cannot be used any more.
    """
    rules = decider.rules()
    if rules.digest == digest:
        return rules
    return restore(decider.log.rules(digest) or "", decider.scorer.home)


def unreserved(decider: Decider, run: DecisionRun) -> dict[Unreserved, int]:
    """How many customers of a released plan do not get what was planned, by the reason."""
    counted: Counter[Unreserved] = Counter()
    reasons = runs.reasons_against(decider.log, run.id)
    for stored in reasons:
        stages = [*stored["stages"].values()]
        counted[stages[0] if stages and stages[0] else "holdout"] += 1
    if run.status == "done":
        rows = sum(runs.counts(decider.log, run.id).values())
        counted["merged"] += run.total - rows
    return {name: count for name, count in counted.items() if count}
