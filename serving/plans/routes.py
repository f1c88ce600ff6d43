"""Plans over HTTP."""

from __future__ import annotations

from fastapi import APIRouter

from decisions.plans.problem import Infeasible
from records.job import segment_of
from serving.access.authentication import CallerDep, needs
from serving.access.scopes import Scope
from serving.decisions.decider import DeciderDep
from serving.http.problems import Unprocessable, responses
from serving.plans.planner import plan_shop
from serving.plans.report import report
from serving.plans.schemas import PlanReport, PlanRequest

router = APIRouter(prefix="/v1/plans", tags=["decisions"], dependencies=[needs(Scope.DECISIONS)])
# No coroutines: they read stores, so each runs in a thread.


@router.post(
    "",
    operation_id="make_plan",
    response_description="The plan.",
    responses=responses(400, 422, 503),
)
def make(request: PlanRequest, decider: DeciderDep, caller: CallerDep) -> PlanReport:
    """Plan everybody's action at once under the budgets of `actions.toml`, as a preview.

    Nothing is logged, reserved or sent. The answer says what the plan is worth and costs, which budgets
    bind, and what one more unit of each would bring.
    """
    rules = decider.rules()
    question = decider.question(rules, request.channels, caller.name or "api")
    try:
        planned = plan_shop(decider, question, rules, segment_of(request.segment), request.budget)
    except Infeasible as error:
        raise Unprocessable(str(error)) from error
    return report(planned, request.language, request.rows)
