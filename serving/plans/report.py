"""A plan as JSON, as rows of a file, and in words."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from core.calendar import date_of
from decisions.catalogue.actions import Action
from decisions.catalogue.texts import filled_text, offered, text_in, texts
from decisions.offers import CustomerOffer, placeholders
from decisions.plans.problem import NOTHING_CHOSEN
from decisions.plans.steering import plan_prices
from decisions.reasons import Language
from events.identity import Identity
from records.batches import KEY
from records.plans.store import SCHEMA
from serving.decisions.offers import Offers
from serving.http.params import Words
from serving.plans.planner import PlannedShop
from serving.plans.schemas import PlanAction, PlanBudget, PlanReport, PlanRow

PAGE = 10_000  # rows whose ids are looked up at once
MONEY_DIGITS = 4  # after the point; stored plans have seven digits in all


def report(planned: PlannedShop, language: Language) -> PlanReport:
    """What a plan does."""
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
        horizon_days=planned.rules.value_horizon_days,
        customers=len(planned.keys),
        contacts=plan.customers,
        value=float(planned.value.sum()),
        expense=plan.expense,
        gap=plan.gap,
        actions=actions,
        budgets=[
            PlanBudget(
                name=use.name, kind=use.kind, limit=use.limit + use.used_before, used_before=use.used_before,
                used=use.used, binding=use.binding, price=use.price,
            )
            for use in plan.constraints
        ],
        notes=_notes(planned),
    )  # fmt: skip


def table(planned: PlannedShop) -> pa.Table:
    """Who gets what, the most valuable first, as plans are stored."""
    places = np.flatnonzero(planned.plan.choice != NOTHING_CHOSEN)
    places = places[np.argsort(-planned.value[places], kind="stable")]
    names = [planned.rules.actions[int(row)].name for row in planned.plan.choice[places]]
    keys = np.array(planned.keys, np.int64)[places]
    return pa.table([keys, names, planned.value[places], planned.expense[places]], schema=SCHEMA)


def prices(planned: PlannedShop) -> list[dict[str, object]]:
    """The prices of the budgets, as plain data."""
    return [
        {"name": p.name, "kind": p.kind, "price": p.price, "actions": sorted(p.actions)}
        for p in plan_prices(planned.plan, planned.rules, planned.money)
    ]


def rows(
    stored: pa.Table, identity: Identity, offers: Offers, canonical: str, language: Language
) -> Iterator[PlanRow]:
    """The rows of a stored plan for people; customers who were deleted since are left out.

    Args:
        offers: what placeholders of texts stand for now, since a plan does not store it.
        canonical: the actions of the plan, as ``Actions.canonical`` returns them.
    """
    by_action, channels, offered_to_all = texts(canonical), channels_of(canonical), offered(canonical)
    names = placeholders(text_in(language, by_language, "") for by_language in by_action.values())
    for start in range(0, stored.num_rows, PAGE):
        page = stored.slice(start, PAGE).to_pylist()
        keys = [row[KEY] for row in page]
        ids, own = identity.ids(keys), offers.of(keys, names)
        for row in page:
            key, action = row.pop(KEY), row["action"]
            if (name := ids.get(key)) is not None:
                offer = own.get(key, CustomerOffer()).fields() | offered_to_all[action]
                text = filled_text(language, by_action[action], action, offer)
                money = {field: round(row[field], MONEY_DIGITS) for field in ("expected_value", "expense")}
                yield PlanRow(
                    customer_id=name, action=action, action_text=text, channel=channels[action], **money
                )


def channels_of(canonical: str) -> dict[str, str]:
    """The channel of each action."""
    return {action["name"]: action["channel"] for action in json.loads(canonical)["actions"]}


def summary(report: PlanReport, currency: str) -> list[str]:
    """The plan in lines of English."""
    lines = [
        f"{report.contacts:,} of {report.customers:,} customers get an action: expected value"
        f" {report.value:,.2f} {currency} within {report.horizon_days} days by assumed effects,"
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
    lines += [f"  {note.en}" for note in report.notes]
    return [*lines, "  this is a preview: nothing was reserved or sent"]


def _notes(planned: PlannedShop) -> list[Words]:
    """Why a plan contacts nobody."""
    if planned.plan.customers:
        return []
    rules, day = planned.rules, planned.question.day
    if all(action.is_over(day) for action in rules.actions):
        last = max(action.end for action in rules.actions if action.end is not None)
        return [
            Words(
                en=f"all actions are over; the last one ended on {last}",
                zh=f"所有营销动作均已结束（最后一个于 {last} 结束）",
            )
        ]
    if all(action.is_over(day) or action.is_early(day) for action in rules.actions):
        return [
            Words(en=f"no action takes place on {date_of(day)}", zh=f"{date_of(day)} 没有进行中的营销动作")
        ]
    if any(use.binding and use.kind != "at_least" for use in planned.plan.constraints):
        return [Words(en="what is left of the budgets permits no contact", zh="剩余预算不足以联系任何客户")]
    return [Words(en="no permitted action brings more than it costs", zh="没有收益高于成本的可选动作")]


def _text(action: Action, language: Language) -> str:
    return text_in(language, {str(name): text for name, text in action.text.items()}, action.name)
