"""A plan, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisions.plans.prices import Choice, optimal_prices
from decisions.plans.problem import NOTHING_CHOSEN, PlanProblem, check_feasible
from decisions.plans.repair import repaired

BINDING = 1e-9


@dataclass(frozen=True)
class PlannedAction:
    """What an action gets in a plan.

    Attributes:
        customers: who get it.
        worth: their worth together. expense: the expected money, discounts included.
    """

    name: str
    customers: int
    worth: float
    expense: float


@dataclass(frozen=True)
class ConstraintUse:
    """How far a constraint is used.

    Attributes:
        kind: ``money``, ``contacts`` or ``at_least``.
        price: what one more unit of the limit would add to the worth; for a minimum, what one customer fewer
            would.
        used_before: what decisions had used; ``limit`` is what was left.
    """

    name: str
    kind: str
    limit: float
    used: float
    price: float
    used_before: float = 0.0

    @property
    def binding(self) -> bool:
        """Whether another limit would change the plan."""
        return self.price > BINDING


@dataclass(frozen=True)
class ActionPlan:
    """A choice for everybody.

    Attributes:
        choice: per customer the row of the action, or ``NOTHING_CHOSEN``.
        prices: of the constraints, in their order.
        bound: at least the worth of every plan under the constraints.
    """

    choice: Choice
    prices: NDArray[np.float64]
    bound: float
    actions: tuple[PlannedAction, ...]
    constraints: tuple[ConstraintUse, ...]

    @property
    def worth(self) -> float:
        """The worth of the plan."""
        return sum(action.worth for action in self.actions)

    @property
    def expense(self) -> float:
        """The expected money, discounts included."""
        return sum(action.expense for action in self.actions)

    @property
    def customers(self) -> int:
        """How many customers get an action."""
        return sum(action.customers for action in self.actions)

    @property
    def gap(self) -> float:
        """The share of the bound that the plan may miss."""
        return max(0.0, 1 - self.worth / self.bound) if self.bound > 0 else 0.0


def make_plan(problem: PlanProblem) -> ActionPlan:
    """The plan of a problem: prices, everybody's best action by them, and repairs.

    Raises:
        Infeasible: a constraint cannot be met; the message names it.
    """
    check_feasible(problem)
    priced = optimal_prices(problem)
    choice = repaired(problem, priced)
    counts, spent = problem.totals(choice)
    chosen = np.flatnonzero(choice != NOTHING_CHOSEN)
    rows = choice[chosen].astype(np.int64)
    worth = np.bincount(rows, weights=problem.worth[rows, chosen], minlength=len(problem.names))
    usage = problem.usage(choice)
    return ActionPlan(
        choice,
        priced.prices,
        priced.dual,
        tuple(
            PlannedAction(name, int(counts[row]), float(worth[row]), float(spent[row]))
            for row, name in enumerate(problem.names)
        ),
        tuple(
            ConstraintUse(c.name, c.kind, c.limit, float(c.sign * used), float(price), c.used)
            for c, used, price in zip(problem.constraints, usage, priced.prices, strict=True)
        ),
    )
