"""Plans: a budget in; who gets what, what it is worth and costs, and what one more unit would bring.

Signed-in visitors make plans, which are stored and can be released. Others see a preview. Both are computed
in the background; the page follows by itself.
"""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import HTTPException
from starlette.datastructures import FormData

from console.changes import ConsoleChange, text
from console.page import PREFIX, ConsolePage, Content, PageTable, TableColumn, Visit
from console.pages.customers import segments_by_kind
from console.pages.plans.tables import marginal, plan_tables
from core.errors import NothingThere, PatronError
from records.job import JobRunning, segment_of
from records.plans.store import PlanJob
from serving.access.scopes import Scope
from serving.decisions.decider import Decider
from serving.plans.background import Plans
from serving.plans.previews import PlanPreviews
from serving.plans.schemas import PlanRequest
from serving.plans.state import plan_report, plan_rows

ROWS = 50


def load(visit: Visit) -> Content:
    """The stored plans, and the preview for the budget and the segment in the query."""
    chosen = {"budget": visit.query.get("budget", "").strip(), "segment": visit.query.get("segment", "")}
    values: dict[str, Any] = chosen | {"kinds": _kinds(visit), "plan": None, "problem": "", "computing": ""}
    stored = {"stored": _stored(visit)}
    if "budget" not in visit.query:
        return Content(values, stored, None)
    try:
        preview = _preview(visit, chosen["budget"], chosen["segment"])
    except JobRunning:
        return Content(values | {"computing": visit.words("plan.others")}, stored, None)
    except HTTPException as error:
        return Content(values | {"problem": error.detail}, stored, None)
    except PatronError as error:
        return Content(values | {"problem": str(error)}, stored, None)
    if preview.status == "running":
        share = visit.words.percent(preview.done / preview.total if preview.total else 0)
        computing = visit.words("plan.computing", total=preview.total, share=share)
        return Content(values | {"computing": computing}, stored, None)
    if preview.error is not None:
        return Content(values | {"problem": preview.error}, stored, None)
    store = visit.services[PlanPreviews].store
    plan, listed = plan_report(store, preview), plan_rows(visit.services[Decider], store, preview, ROWS)
    shown = {"plan": plan, "listed": len(listed), "marginal": marginal(plan, visit.words)}
    return Content(values | shown, stored | plan_tables(visit, plan, listed), "preview")


def make(visit: Visit, form: FormData) -> str:
    """Start a plan in the background."""
    request = _request(visit, text(form, "budget"), text(form, "segment"))
    plan = visit.services[Plans].start(
        segment_of(request.segment), None, request.language, request.budget,
        visit.caller.name or "console", uuid.uuid4().hex,
    )  # fmt: skip
    return f"{PREFIX}/plans/{plan.id}"


PAGE = ConsolePage(
    "plan", "/plan", Scope.DECISIONS, load, audited="read a plan", reads_models=True,
    jobs=("plan", "decisions", "release"),
)  # fmt: skip
CHANGES = (ConsoleChange("/plan", Scope.DECISIONS, make, "made a plan"),)


def _stored(visit: Visit) -> PageTable:
    """The plans that are stored, the newest first."""
    words = visit.words
    rows = [
        {
            "at": plan.at,
            "address": f"{PREFIX}/plans/{plan.id}",
            "money": plan.money,
            "segment": ", ".join(plan.segment) if isinstance(plan.segment, tuple) else plan.segment,
            "customers": plan.total,
            "status": words.choice("job_status", plan.status),
        }
        for plan in visit.services[Plans].store.list_jobs()
    ]
    columns = [
        TableColumn("at", "plan.made_at", "moment", "address"),
        TableColumn("money", "plan.of_budget", "money"),
        TableColumn("segment", "plan.segment"),
        TableColumn("customers", "plan.customers", "number"),
        TableColumn("status", "plan.status"),
    ]
    return PageTable("plan.stored", columns, rows, "plan.none_stored")


def _kinds(visit: Visit) -> list[dict[str, object]]:
    try:
        return segments_by_kind(visit)
    except NothingThere:
        return []


def _preview(visit: Visit, budget: str, segment: str) -> PlanJob:
    request = _request(visit, budget, segment)
    return visit.services[PlanPreviews].find_or_start(request, visit.caller.name or "api")


def _request(visit: Visit, budget: str, segment: str) -> PlanRequest:
    try:
        money = float(budget) if budget else None
        return PlanRequest(budget=money, segment=segment or None, language=visit.words.language)
    except ValueError as error:  # also Pydantic's
        raise PatronError(visit.words("plan.no_budget")) from error
