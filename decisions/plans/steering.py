"""The prices of budgets by which a released plan steers single decisions."""

from __future__ import annotations

from decisions.catalogue.actions import Actions
from decisions.plans.plan import ActionPlan
from decisions.plans.problem import constraints_of
from decisions.policies.prices import BudgetPrice


def plan_prices(plan: ActionPlan, rules: Actions, money: float | None) -> list[BudgetPrice]:
    """The prices of a plan that are not 0; those of minimums steer only the plan itself.

    Args:
        money: of the plan, in addition to the budgets.
    """
    prices = []
    for constraint, use in zip(constraints_of(rules, money), plan.constraints, strict=True):
        if use.binding and constraint.kind != "at_least":
            covered = zip(rules.actions, constraint.rows, strict=True)
            names = frozenset(action.name for action, inside in covered if inside)
            prices.append(BudgetPrice(use.name, constraint.kind, use.price, names))
    return prices
