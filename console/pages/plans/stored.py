"""A stored plan, and its release."""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException
from starlette.datastructures import FormData
from starlette.responses import Response

from console.changes import ConsoleChange
from console.page import PREFIX, ConsoleFile, ConsolePage, Content, PageTable, TableColumn, Visit
from console.pages.plans.tables import marginal, plan_tables
from records.plans.store import PlanJob
from serving.access.scopes import Scope
from serving.decisions.decider import Decider
from serving.decisions.run_routes import read as read_run
from serving.decisions.runs import DecisionRuns
from serving.decisions.schemas import RunQuery
from serving.plans.background import Plans
from serving.plans.schemas import PlanRelease
from serving.plans.state import plan_state

ROWS = 50
FILE_KINDS = ("csv", "xlsx")


def load(visit: Visit) -> Content:
    """A plan by the id in the path, as it stands.

    Raises:
        HTTPException: 404: there is no such plan, or no longer.
    """
    plan = _find(visit)
    state = plan_state(visit.services[Decider], visit.services[Plans].store, plan, ROWS)
    running = state.status == "running" or (state.release is not None and state.release.status == "running")
    values: dict[str, Any] = {"state": state, "plan": state.plan, "running": running, "marginal": []}
    if state.plan is None:
        return Content(values, about=None)
    tables = plan_tables(visit, state.plan, state.rows)
    if state.release is not None:
        tables["not_reserved"] = _not_reserved(visit, state.release)
    about = None if running else plan.id  # a page that waits is loaded every two seconds
    return Content(values | {"marginal": marginal(state.plan, visit.words)}, tables, about)


def release(visit: Visit, form: FormData) -> str:  # noqa: ARG001 - the button is the whole form
    """Release a plan in the background; a second time it is the same release."""
    plan = _find(visit)
    visit.services[DecisionRuns].release(plan, visit.caller.name or "console")
    return f"{PREFIX}/plans/{plan.id}"


def load_file(visit: Visit) -> Response:
    """All customers of a released plan with their actions, as a file."""
    kind, services = visit.path["kind"], visit.services
    if kind not in FILE_KINDS:
        raise HTTPException(404, visit.words("console.no_table"))
    query = RunQuery.model_validate({"format": kind, "language": visit.words.language, "only_actions": True})
    response = read_run(visit.path["plan_id"], query, services[DecisionRuns], services[Decider], visit.caller)
    if not isinstance(response, Response):
        raise TypeError("a file is no page of customers")
    return response


PAGE = ConsolePage("stored_plan", "/plans/{plan_id}", Scope.DECISIONS, load, False, "read a plan")
FILES = (
    ConsoleFile("/plans/{plan_id}/customers.{kind}", Scope.DECISIONS, load_file, "exported recommendations"),
)
CHANGES = (ConsoleChange("/plans/{plan_id}/release", Scope.DECISIONS, release, "released a plan"),)


def _find(visit: Visit) -> PlanJob:
    plan = visit.services[Plans].store.find(visit.path["plan_id"])
    if plan is None:
        raise HTTPException(404, visit.words("stored_plan.unknown"))
    return plan


def _not_reserved(visit: Visit, release: PlanRelease) -> PageTable:
    """The customers of a release who do not get what was planned, by reason."""
    rows = [
        {"why": visit.words.both(refused.words.model_dump()), "customers": refused.customers}
        for refused in release.not_reserved
    ]
    columns = [
        TableColumn("why", "stored_plan.why"),
        TableColumn("customers", "plan.customers", "number"),
    ]
    return PageTable("stored_plan.not_reserved", columns, rows, "stored_plan.all_reserved")
