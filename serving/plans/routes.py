"""Plans over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response

from records.job import JobRunning, segment_of
from records.plans.store import PlanJob
from serving.access.audit import audits_change, audits_look
from serving.access.authentication import CallerDep, needs
from serving.access.idempotency import IdempotencyDep, IdempotencyKey
from serving.access.scopes import Scope
from serving.decisions.budgets.planned import NotReleasable
from serving.decisions.decider import DeciderDep
from serving.decisions.run_routes import RunsDep
from serving.http.problems import leads_to, responses
from serving.http.services import service
from serving.plans.background import Plans
from serving.plans.schemas import PlanQuery, PlanRelease, PlanRequest, PlanState
from serving.plans.state import plan_state, release_state

router = APIRouter(prefix="/v1/plans", tags=["decisions"], dependencies=[needs(Scope.DECISIONS)])
PlansDep = Annotated[Plans, service(Plans)]
# No coroutines: they read files, so each runs in a thread.
PlanId = Annotated[
    str, Path(max_length=64, description="As its start named it.", examples=["3f6c1d2e9a7b4c5d"])
]
_LINKS = {
    **leads_to("read_plan", "plan_id", "The plan, once it is done.")["links"],
    **leads_to("release_plan", "plan_id", "Its decisions and reservations.")["links"],
}


@router.post(
    "",
    status_code=202,
    operation_id="make_plan",
    dependencies=[audits_change("made a plan")],
    response_description="The plan is being made; `Location` is where it is read.",
    responses=responses(400, 409, 422, 503) | {202: {"links": _LINKS}},
)
def make(
    request: PlanRequest,
    plans: PlansDep,
    decider: DeciderDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> PlanState:
    """Plan everybody's action at once under the budgets of `actions.toml`, in the background.

    A plan is a preview: nothing is logged, reserved or sent, until it is released. One plan is made at a
    time.
    """
    try:
        plan = idempotency.start(
            request, key=idempotency_key, caller=caller, operation="make_plan", find=plans.store.find,
            create=lambda plan_id: plans.start(
                segment_of(request.segment), request.channels, request.language, request.budget,
                caller.name or "api", plan_id,
            ),
        )  # fmt: skip
    except JobRunning as error:
        raise HTTPException(409, str(error)) from error
    response.headers["location"] = f"{router.prefix}/{plan.id}"
    return plan_state(decider, plans.store, _find(plans, plan.id))


@router.get(
    "/{plan_id}",
    operation_id="read_plan",
    dependencies=[audits_look("read a plan")],
    response_description="The plan as it stands.",
    responses=responses(404, 422, 503),
)
def read(
    plan_id: PlanId, query: Annotated[PlanQuery, Query()], plans: PlansDep, decider: DeciderDep
) -> PlanState:
    """What a plan is worth and costs, which budgets bind, and what became of its release.

    `rows` lists customers, the most valuable first. A plan that cannot be made has failed, and its error
    names the budget.
    """
    return plan_state(decider, plans.store, _find(plans, plan_id), query.rows)


@router.post(
    "/{plan_id}/release",
    status_code=202,
    operation_id="release_plan",
    dependencies=[audits_change("released a plan")],
    response_description="The release has begun, or had before; its run is where its rows are read.",
    responses=responses(404, 409, 422, 503),
)
def release(
    plan_id: PlanId, plans: PlansDep, running: RunsDep, decider: DeciderDep, caller: CallerDep
) -> PlanRelease:
    """Decide as a plan says, and reserve the contacts and the money of everybody in it, in the background.

    What consent, limits and budgets no longer permit is counted by reason. A second release returns the
    first. The plan of another day, or of actions that have changed since, is refused. The prices of its
    budgets steer single decisions until the next release.
    """
    plan = _find(plans, plan_id)
    try:
        run = running.release(plan, caller.name or "api")
    except (JobRunning, NotReleasable) as error:
        raise HTTPException(409, str(error)) from error
    return release_state(decider, running.store.find(run.id) or run)


def _find(plans: Plans, plan_id: str) -> PlanJob:
    plan = plans.store.find(plan_id)
    if plan is None:
        raise HTTPException(404, f"there is no such plan; the last {plans.store.max_jobs} are kept")
    return plan
