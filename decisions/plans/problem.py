"""The problem that a plan solves: at most one action per customer, within all constraints.

    maximise    sum over customers i and actions a of x(i, a) × worth(a, i)
    subject to  sum over a of x(i, a) <= 1 for each customer, and for each constraint b
                sum over i and a of x(i, a) × consumption(b, a, i) <= limit(b)

The consumption of money is the expected expense, of contacts 1. A constraint of the kind ``at_least`` has the
consumption −1 and the limit −minimum, so that all constraints have one form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import PatronError
from decisions.catalogue.actions import Actions
from decisions.policies.budgets import BudgetUse

Numbers: TypeAlias = NDArray[np.floating[Any]]
NOTHING_CHOSEN = -1


class Infeasible(PatronError):
    """A constraint that no plan can meet; the message names it."""


@dataclass(frozen=True)
class Constraint:
    """A limit on the actions of some rows.

    Attributes:
        limit: currency for ``money``, customers for ``contacts`` and ``at_least``.
        rows: whether an action of the catalogue counts, in its order.
        used: what was used before; ``limit`` is what is left.
    """

    name: str
    kind: Literal["money", "contacts", "at_least"]
    limit: float
    rows: NDArray[np.bool_]
    used: float = 0.0

    @property
    def sign(self) -> int:
        """-1 for a minimum, else 1."""
        return -1 if self.kind == "at_least" else 1

    @property
    def bound(self) -> float:
        """The limit of the consumption."""
        return self.sign * self.limit

    @property
    def covers_all(self) -> bool:
        """Whether it limits all actions."""
        return bool(self.rows.all())


@dataclass(frozen=True)
class PlanProblem:
    """Actions, customers and constraints.

    Attributes:
        names: of the actions.
        worth: by action and customer, what is maximised; -inf where the action is not permitted.
        expense: by action and customer, the expected money, 0 or more.
    """

    names: tuple[str, ...]
    worth: Numbers
    expense: Numbers
    constraints: tuple[Constraint, ...]

    @property
    def customers(self) -> int:
        """The number of customers."""
        return int(self.worth.shape[1])

    def consumption(self, constraint: Constraint, row: int, columns: Any) -> Numbers | int:
        """What an action consumes of a constraint, for some customers."""
        if not constraint.rows[row]:
            return 0
        return self.expense[row, columns] if constraint.kind == "money" else constraint.sign

    def usage(self, choice: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """What a choice of one row per customer, or ``NOTHING_CHOSEN``, consumes of each constraint."""
        counts, spent = self.totals(choice)
        return np.array(
            [c.sign * (spent if c.kind == "money" else counts)[c.rows].sum() for c in self.constraints]
        )

    def totals(self, choice: NDArray[np.integer[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Customers and expense by action."""
        actions = len(self.names)
        chosen = np.flatnonzero(choice != NOTHING_CHOSEN)
        rows = choice[chosen].astype(np.int64)
        counts = np.bincount(rows, minlength=actions).astype(np.float64)
        spent = np.bincount(rows, weights=self.expense[rows, chosen], minlength=actions)
        return counts, spent.astype(np.float64)

    def objective(self, choice: NDArray[np.integer[Any]]) -> float:
        """The worth of a choice."""
        chosen = np.flatnonzero(choice != NOTHING_CHOSEN)
        return float(self.worth[choice[chosen].astype(np.int64), chosen].sum(dtype=np.float64))


def constraints_of(
    rules: Actions, money: float | None = None, use: BudgetUse | None = None
) -> tuple[Constraint, ...]:
    """The constraints of a catalogue: what is left of its budgets, and of the capacities of its channels.

    Args:
        money: currency for all actions together, in addition to the budgets.
        use: what decisions have used of the budgets; None for nothing.
    """
    every = np.ones(len(rules.actions), bool)
    constraints = [] if money is None else [Constraint("budget", "money", money, every)]
    for limit in rules.spending_limits:
        rows = np.array([limit.budget.covers(action) for action in rules.actions])
        if rows.any():
            used = 0.0 if use is None else use.used(limit, use.spending_day)
            left = max(0.0, limit.limit - used)
            constraints.append(Constraint(limit.name, limit.kind, left, rows, used))
    for budget in rules.budgets:
        if budget.at_least is not None:
            rows = np.array([budget.covers(action) for action in rules.actions])
            constraints.append(Constraint(budget.name, "at_least", budget.at_least, rows))
    return tuple(constraints)


def check_feasible(problem: PlanProblem) -> None:
    """Refuse constraints that no plan can meet, as far as each can be judged alone or with one other.

    Raises:
        Infeasible: the message names the constraint and says what to change.
    """
    for constraint in problem.constraints:
        if constraint.limit == 0 and constraint.covers_all:
            why = f"is used up: {constraint.used:,.2f} were used before" if constraint.used else "is 0"
            raise Infeasible(f"the budget {constraint.name} {why}, so nothing can be planned; raise it")
        if constraint.kind == "at_least":
            _check_minimum(problem, constraint)


def _check_minimum(problem: PlanProblem, minimum: Constraint) -> None:
    permitted = np.isfinite(problem.worth[minimum.rows])
    reachable = permitted.any(axis=0)
    count = int(reachable.sum())
    if count < minimum.limit:
        raise Infeasible(
            f"{minimum.name}: at least {minimum.limit:.0f} customers are asked for, and only {count} may get"
            " one of its actions; lower at_least, or widen the rules of the actions"
        )
    for other in problem.constraints:
        if other.kind == "at_least" or not _within(minimum.rows, other.rows):
            continue
        if other.kind == "contacts":
            least = minimum.limit
        else:
            cheapest = np.where(permitted, problem.expense[minimum.rows], np.inf).min(axis=0)[reachable]
            least = float(np.sort(cheapest)[: int(minimum.limit)].sum())
        if least > other.limit:
            raise Infeasible(
                f"{minimum.name}: at least {minimum.limit:.0f} customers need {least:,.2f} of {other.name},"
                f" which has {other.limit:,.2f}; lower at_least, or raise {other.name}"
            )


def _within(inner: Sequence[bool] | NDArray[np.bool_], outer: NDArray[np.bool_]) -> bool:
    return bool(np.all(outer[np.asarray(inner)]))
