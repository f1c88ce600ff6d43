"""The tables of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.catalogue_names import action_names, channel_name
from console.page import PageTable, Row, TableColumn, Visit
from console.personal.lists import rows_of
from console.words.messages import Translator
from serving.plans.schemas import PlanBudget, PlanReport, PlanRow


def plan_tables(visit: Visit, plan: PlanReport, listed: Sequence[PlanRow]) -> dict[str, PageTable]:
    """The actions, the budgets and the listed customers of a plan."""
    names, words = action_names(visit.home, visit.words.language), visit.words
    return {
        "actions": _actions(plan, names, words),
        "budgets": _budgets(plan, words),
        "customers": _customers(visit, listed, names),
    }


def marginal(plan: PlanReport, words: Translator) -> list[str]:
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
        TableColumn("text", "plan.text", "data"),
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


def _customers(visit: Visit, listed: Sequence[PlanRow], names: Mapping[str, str]) -> PageTable:
    words = visit.words
    rows: list[Row] = [
        {
            **row,
            "action": names.get(row["action"], row["action"]),
            "channel": channel_name(row["channel"], words.language),
        }
        for row in rows_of(visit, listed)
    ]
    columns = [
        TableColumn("customer_id", "customers.customer", "data", link="address"),
        TableColumn("action", "actions.action"),
        TableColumn("channel", "actions.channel"),
        TableColumn("expected_value", "plan.value", "money"),
        TableColumn("expense", "plan.expense", "money"),
    ]
    return PageTable("plan.who", columns, rows, "plan.nobody")
