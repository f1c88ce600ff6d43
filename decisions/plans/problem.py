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
    """

    name: str
    kind: Literal["money", "contacts", "at_least"]
    limit: float
    rows: NDArray[np.bool_]

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


def constraints_of(rules: Actions, money: float | None = None) -> tuple[Constraint, ...]:
    """The constraints of a catalogue: its budgets, and the capacities of its channels for a day.

    Args:
        money: currency for all actions together, in addition to the budgets.
    """
    every = np.ones(len(rules.actions), bool)
    constraints = [] if money is None else [Constraint("budget", "money", money, every)]
    for budget in rules.budgets:
        rows = np.array([budget.covers(action) for action in rules.actions])
        if budget.money is not None:
            constraints.append(Constraint(budget.name, "money", budget.money, rows))
        if budget.contacts is not None:
            constraints.append(Constraint(budget.name, "contacts", budget.contacts, rows))
        if budget.at_least is not None:
            constraints.append(Constraint(budget.name, "at_least", budget.at_least, rows))
    for name, channel in rules.channels.items():
        rows = np.array([action.channel == name for action in rules.actions])
        if channel.capacity_per_day is not None and rows.any():
            constraints.append(Constraint(name, "contacts", channel.capacity_per_day, rows))
    return tuple(constraints)


def check_feasible(problem: PlanProblem) -> None:
    """Refuse constraints that no plan can meet, as far as each can be judged alone or with one other.

    Raises:
        Infeasible: the message names the constraint and says what to change.
    """
    for constraint in problem.constraints:
        if constraint.limit == 0 and constraint.covers_all:
            raise Infeasible(f"the budget {constraint.name} is 0, so nothing can be planned; raise it")
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
