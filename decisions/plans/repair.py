"""Turns the choice that prices lead to into one that meets every constraint, at little loss.

At the optimal prices a few customers are indifferent, and they decide whether a limit is just met. So the
customers who lose least, by the prices, change: first away from exceeded limits, then towards minimums that
are missed, last into what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisions.plans.prices import Choice, Priced, Vector, coefficients, net_worth
from decisions.plans.problem import NOTHING_CHOSEN, Constraint, Infeasible, PlanProblem

MAX_MOVES = 50_000
SLACK = 1e-9


@dataclass
class _State:
    """A choice under repair, and what it consumes."""

    problem: PlanProblem
    per_expense: Vector
    per_contact: Vector
    choice: Choice
    usage: Vector

    @property
    def bounds(self) -> Vector:
        return np.array([c.bound for c in self.problem.constraints])

    def net(self, row: int, columns: NDArray[np.intp]) -> Vector:
        """The worth of an action less prices, for some customers."""
        return net_worth(self.problem, row, columns, self.per_expense, self.per_contact).astype(np.float64)

    def current(self, columns: NDArray[np.intp]) -> Vector:
        """The same for what is chosen for them."""
        nets = np.zeros(len(columns))
        chosen = self.choice[columns]
        for row in range(len(self.problem.names)):
            places = np.flatnonzero(chosen == row)
            nets[places] = self.net(row, columns[places])
        return nets

    def best_of(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[Choice, Vector]:
        """For some customers, the best of these actions that is not chosen, and its worth less prices."""
        best, alternative = np.full(len(columns), -np.inf), np.full(len(columns), NOTHING_CHOSEN, np.int16)
        for row in rows:
            net = np.where(self.choice[columns] == row, -np.inf, self.net(int(row), columns))
            better = net > best
            best[better], alternative[better] = net[better], row
        return alternative, best

    def consumption(self, row: int, column: int) -> Vector:
        """What an action for a customer consumes of each constraint."""
        if row == NOTHING_CHOSEN:
            return np.zeros(len(self.problem.constraints))
        return np.array([float(self.problem.consumption(c, row, column)) for c in self.problem.constraints])

    def move(self, column: int, row: int) -> bool:
        """Change a customer's action if that exceeds no limit; returns whether it did."""
        usage = (
            self.usage - self.consumption(int(self.choice[column]), column) + self.consumption(row, column)
        )
        worse = usage > np.maximum(self.bounds + SLACK * np.abs(self.bounds), self.usage)
        if worse.any():
            return False
        self.choice[column], self.usage = row, usage
        return True


def repaired(problem: PlanProblem, priced: Priced) -> Choice:
    """A choice that meets all constraints.

    Raises:
        Infeasible: no way was found to meet a minimum; the message names it.
    """
    per_expense, per_contact = coefficients(problem.constraints, priced.prices, len(problem.names))
    state = _State(problem, per_expense, per_contact, priced.choice.copy(), priced.usage.copy())
    limits = [(i, c) for i, c in enumerate(problem.constraints) if c.kind != "at_least"]
    for to_nothing in (False, True):
        for index, constraint in limits:
            _reduce(state, index, constraint, to_nothing)
    for index, constraint in enumerate(problem.constraints):
        if constraint.kind == "at_least":
            _meet(state, index, constraint)
    for _ in range(2):
        _fill(state)
    return state.choice


def _reduce(state: _State, index: int, limit: Constraint, to_nothing: bool) -> None:
    """Bring what exceeds a limit down to it: who loses least per unit changes first."""
    excess = state.usage[index] - limit.bound
    if excess <= SLACK * abs(limit.bound):
        return
    chosen = state.choice
    columns = np.flatnonzero((chosen != NOTHING_CHOSEN) & limit.rows[chosen])
    rows = chosen[columns].astype(np.intp)
    consumed = (
        state.problem.expense[rows, columns].astype(np.float64)
        if limit.kind == "money"
        else np.ones(len(columns))
    )
    alternative, best = np.full(len(columns), NOTHING_CHOSEN, np.int16), np.zeros(len(columns))
    if not to_nothing:
        others, net = state.best_of(np.flatnonzero(~limit.rows), columns)
        alternative, best = np.where(net > 0, others, alternative), np.maximum(net, 0)
    loss = (state.current(columns) - best) / np.maximum(consumed, 1e-12)
    order = np.argsort(loss, kind="stable")
    order = order[consumed[order] > 0]
    enough = int(np.searchsorted(np.cumsum(consumed[order]), excess)) + 1
    changed = order[:enough]
    state.choice[columns[changed]] = alternative[changed]
    state.usage = state.problem.usage(state.choice)


def _meet(state: _State, index: int, minimum: Constraint) -> None:
    """Give actions of a minimum to those who lose least by it, until it is met."""
    missing = int(np.ceil(state.usage[index] - minimum.bound - SLACK))
    if missing <= 0:
        return
    chosen = state.choice
    columns = np.flatnonzero((chosen == NOTHING_CHOSEN) | ~minimum.rows[chosen])
    alternative, net = state.best_of(np.flatnonzero(minimum.rows), columns)
    order = np.argsort(state.current(columns) - net, kind="stable")
    for place in order[np.isfinite(net[order])]:
        if state.move(int(columns[place]), int(alternative[place])):
            missing -= 1
        if missing == 0:
            return
    raise Infeasible(
        f"{minimum.name}: at least {minimum.limit:.0f} customers are asked for, and the other budgets permit"
        f" {minimum.limit - missing:.0f}; lower at_least, or raise the other budgets"
    )


def _fill(state: _State) -> None:
    """Use what is left for those who gain by another action and lose least by the prices."""
    columns = np.arange(state.problem.customers)
    alternative, net = state.best_of(np.arange(len(state.problem.names)), columns)
    regret = state.current(columns) - net
    worth = np.full(len(columns), -np.inf)
    offered = np.flatnonzero(alternative != NOTHING_CHOSEN)
    worth[offered] = state.problem.worth[alternative[offered].astype(np.intp), offered]
    now = np.zeros(len(columns))
    chosen = np.flatnonzero(state.choice != NOTHING_CHOSEN)
    now[chosen] = state.problem.worth[state.choice[chosen].astype(np.intp), chosen]
    gaining = np.flatnonzero(worth > now)
    if len(gaining) > MAX_MOVES:
        gaining = gaining[np.argpartition(regret[gaining], MAX_MOVES)[:MAX_MOVES]]
    for column in gaining[np.argsort(regret[gaining], kind="stable")]:
        state.move(int(column), int(alternative[column]))
