"""The action that a plan gives a customer, if everything still permits it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from decisions.catalogue.actions import NOTHING, Actions
from decisions.checks import PolicyRequest
from decisions.context import CustomerContext
from decisions.policies.budgets import BudgetUse
from decisions.policy import evaluate, is_service
from decisions.reasons import reason
from decisions.recommendation import Option, Recommendation
from decisions.values.inputs import inputs_of
from decisions.values.reasons import value_reasons
from decisions.values.valuation import Valuer

PLANNED = "planned"
"""How a choice was made that follows a released plan; it is not random."""


def follow(
    customer: CustomerContext,
    actions: Actions,
    day: int,
    name: str,
    channels: Collection[str] | None,
    budget_use: BudgetUse,
) -> Recommendation:
    """The planned action, or nothing where a check of the present moment refuses it.

    Args:
        day: the shop's day. name: of the planned action.
        channels: the requested channels of the plan; None for all.
    """
    row, action = next((i, a) for i, a in enumerate(actions.actions) if a.name == name)
    valuer = Valuer(actions)
    values = valuer.values(inputs_of(customer, valuer.features))
    expenses = {name: float(values.expense[row, 0])}
    request = PolicyRequest(actions, day, channels, budget_use, expenses)
    option = evaluate(action, customer, request, values, row, ())
    nothing = Option(NOTHING, None, 0.0, 0.0, ())
    if customer.in_holdout and not is_service(action.channel, actions):
        option = Option(name, action.channel, action.cost, None, (reason("holdout"),))
    if option.value is None:
        chosen = replace(nothing, why=(reason("not_as_planned", action=name),))
        return Recommendation(chosen, PLANNED, {NOTHING: 1.0}, (), (option,))
    why = (reason("planned"), *value_reasons(name, customer, actions, values))
    other = replace(nothing, why=(reason("planned_other", action=name),))
    return Recommendation(replace(option, why=why), PLANNED, {name: 1.0, NOTHING: 0.0}, (other,), ())
