"""A plan: a budget in; who gets what, what it is worth and costs, and what one more unit would bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import HTTPException

from console.catalogue_names import action_names, channel_name
from console.page import ConsolePage, Content, PageTable, Row, TableColumn, Visit
from console.pages.customers import address, segments_by_kind
from console.words.messages import Translator
from core.errors import NothingThere, PatronError
from serving.access.scopes import Scope
from serving.decisions.decider import Decider
from serving.plans.looks import look
from serving.plans.schemas import PlanBudget, PlanReport, PlanRequest, PlanRow

ROWS = 50


def load(visit: Visit) -> Content:
    """The plan for the budget and the segment in the query; only the form before it was sent."""
    chosen = {"budget": visit.query.get("budget", "").strip(), "segment": visit.query.get("segment", "")}
    values: dict[str, Any] = chosen | {"kinds": _kinds(visit), "plan": None, "problem": ""}
    if "budget" not in visit.query:
        return Content(values)
    try:
        plan, listed = _plan(visit, chosen["budget"], chosen["segment"])
    except HTTPException as error:
        return Content(values | {"problem": error.detail})
    except PatronError as error:
        return Content(values | {"problem": str(error)})
    names, words = action_names(visit.home, visit.words.language), visit.words
    return Content(
        values | {"plan": plan, "listed": len(listed), "marginal": _marginal(plan, words)},
        {
            "actions": _actions(plan, names, words),
            "budgets": _budgets(plan, words),
            "customers": _customers(listed, names, words),
        },
    )


PAGE = ConsolePage("plan", "/plan", Scope.DECISIONS, load)


def _kinds(visit: Visit) -> list[dict[str, object]]:
    try:
        return segments_by_kind(visit)
    except NothingThere:
        return []


def _plan(visit: Visit, budget: str, segment: str) -> tuple[PlanReport, list[PlanRow]]:
    try:
        money = float(budget) if budget else None
        request = PlanRequest(
            budget=money, segment=segment or None, language=visit.words.language
        )  # fmt: skip
    except ValueError as error:  # also Pydantic's
        raise PatronError(visit.words("plan.no_budget")) from error
    return look(visit.services[Decider], request, visit.caller.name or "api", ROWS)


def _marginal(plan: PlanReport, words: Translator) -> list[str]:
    """What one more unit of each budget that limits the plan would bring."""
    names = {"money": "plan.one_more_unit", "contacts": "plan.one_more_contact", "at_least": "plan.one_fewer"}
    return [
        words(names[budget.kind], budget=_budget_name(budget, words), price=words.money(budget.price))
        for budget in plan.budgets
        if budget.binding
    ]


def _budget_name(budget: PlanBudget, words: Translator) -> str:
    return words("plan.this_budget") if budget.name == "budget" else budget.name


def _actions(plan: PlanReport, names: Mapping[str, str], words: Translator) -> PageTable:
    rows: list[Row] = [
        {
            "action": names.get(action.action, action.action),
            "channel": channel_name(action.channel, words.language),
            "customers": action.customers,
            "value": action.value,
            "expense": action.expense,
            "text": action.text,
        }
        for action in plan.actions
    ]
    columns = [
        TableColumn("action", "actions.action"),
        TableColumn("channel", "actions.channel"),
        TableColumn("customers", "plan.customers", "number"),
        TableColumn("value", "plan.value", "money"),
        TableColumn("expense", "plan.expense", "money"),
        TableColumn("text", "plan.text"),
    ]
    return PageTable("plan.actions", columns, rows, "plan.nobody")


def _budgets(plan: PlanReport, words: Translator) -> PageTable:
    rows: list[Row] = []
    for budget in plan.budgets:
        write = words.money if budget.kind == "money" else words.number
        rows.append(
            {
                "name": _budget_name(budget, words),
                "kind": words.choice("budget_kind", budget.kind),
                "used": write(budget.used),
                "limit": write(budget.limit),
                "price": budget.price if budget.binding else None,
            }
        )
    columns = [
        TableColumn("name", "actions.budget"),
        TableColumn("kind", "plan.kind"),
        TableColumn("used", "plan.used"),
        TableColumn("limit", "plan.limit"),
        TableColumn("price", "plan.price", "money"),
    ]
    return PageTable("plan.budgets", columns, rows, "plan.no_budgets")


def _customers(listed: Sequence[PlanRow], names: Mapping[str, str], words: Translator) -> PageTable:
    rows: list[Row] = [
        {
            "customer": row.customer_id,
            "address": address(row.customer_id),
            "action": names.get(row.action, row.action),
            "channel": channel_name(row.channel, words.language),
            "value": row.expected_value,
            "expense": row.expense,
        }
        for row in listed
    ]
    columns = [
        TableColumn("customer", "customers.customer", link="address"),
        TableColumn("action", "actions.action"),
        TableColumn("channel", "actions.channel"),
        TableColumn("value", "plan.value", "money"),
        TableColumn("expense", "plan.expense", "money"),
    ]
    return PageTable("plan.who", columns, rows, "plan.nobody")
