"""A plan as JSON, as rows of a file, and in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from decisions.catalogue.actions import Action
from decisions.catalogue.texts import text_in
from decisions.plans.problem import NOTHING_CHOSEN
from decisions.reasons import Language
from serving.plans.planner import PlannedShop
from serving.plans.schemas import PlanAction, PlanBudget, PlanReport, PlanRow


def report(planned: PlannedShop, language: Language, rows: int = 0) -> PlanReport:
    """What a plan does, with the most valuable customers.

    Args:
        rows: how many customers are listed.
    """
    plan, chosen = planned.plan, planned.plan.choice
    actions = []
    for row, (action, planned_action) in enumerate(zip(planned.rules.actions, plan.actions, strict=True)):
        if planned_action.customers:
            actions.append(
                PlanAction(
                    action=action.name,
                    text=_text(action, language),
                    channel=action.channel,
                    customers=planned_action.customers,
                    value=float(planned.value[chosen == row].sum()),
                    expense=planned_action.expense,
                )
            )
    return PlanReport(
        planned_at=planned.question.at,
        customers=len(planned.customers),
        contacts=plan.customers,
        value=float(planned.value.sum()),
        expense=plan.expense,
        gap=plan.gap,
        actions=actions,
        budgets=[
            PlanBudget(
                name=use.name, kind=use.kind, limit=use.limit, used=use.used, binding=use.binding,
                price=use.price,
            )
            for use in plan.constraints
        ],
        rows=list(_rows(planned, language, _most_valuable(planned)[:rows])),
    )  # fmt: skip


def all_rows(planned: PlannedShop, language: Language) -> Iterator[PlanRow]:
    """Everybody who gets an action, the most valuable first."""
    return _rows(planned, language, _most_valuable(planned))


def summary(planned: PlannedShop, report: PlanReport, currency: str) -> list[str]:
    """The plan in lines of English."""
    lines = [
        f"{report.contacts:,} of {report.customers:,} customers get an action: expected value"
        f" {report.value:,.2f} {currency} within {planned.rules.value_horizon_days} days by assumed effects,"
        f" expected expense {report.expense:,.2f} {currency} with discounts"
    ]
    lines += [
        f"  {a.customers:>9,}  {a.action}: value {a.value:,.2f}, expense {a.expense:,.2f}"
        for a in report.actions
    ]
    for use in report.budgets:
        unit = f" {currency}" if use.kind == "money" else " customers"
        least = "at least " if use.kind == "at_least" else ""
        line = f"  budget {use.name}: {use.used:,.2f} of {least}{use.limit:,.2f}{unit}"
        if use.binding:
            more = "one fewer" if use.kind == "at_least" else "one more"
            line += f"; binding, {more} would bring {use.price:,.2f} {currency}"
        lines.append(line)
    if report.gap > 0.0005:
        lines.append(f"  at most {report.gap:.1%} below the optimum in which customers could be divided")
    return [*lines, "  this is a preview: nothing was reserved or sent"]


def _most_valuable(planned: PlannedShop) -> NDArray[np.intp]:
    places = np.flatnonzero(planned.plan.choice != NOTHING_CHOSEN)
    return places[np.argsort(-planned.value[places], kind="stable")]


def _rows(planned: PlannedShop, language: Language, places: NDArray[np.intp]) -> Iterator[PlanRow]:
    ids = [*planned.customers.values()]
    for place in places:
        action = planned.rules.actions[int(planned.plan.choice[place])]
        yield PlanRow(
            customer_id=ids[place],
            action=action.name,
            action_text=_text(action, language),
            channel=action.channel,
            expected_value=float(planned.value[place]),
            expense=float(planned.expense[place]),
        )


def _text(action: Action, language: Language) -> str:
    return text_in(language, {str(name): text for name, text in action.text.items()}, action.name)
