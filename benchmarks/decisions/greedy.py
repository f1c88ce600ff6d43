"""The greedy peer: pairs of a customer and an action, one after another, while all budgets permit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisions.plans.problem import NOTHING_CHOSEN, PlanProblem


def take_in_order(problem: PlanProblem, ranks: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """The choice that takes permitted pairs with a positive rank, the highest first.

    Args:
        ranks: by action and customer.
    """
    rows, columns = np.nonzero(np.isfinite(problem.worth) & (ranks > 0))
    choice = np.full(problem.customers, NOTHING_CHOSEN, np.int16)
    left = np.array([constraint.bound for constraint in problem.constraints])
    money = np.array([constraint.kind == "money" for constraint in problem.constraints])
    scope = np.array([constraint.rows for constraint in problem.constraints]).T
    for place in np.argsort(-ranks[rows, columns], kind="stable"):
        row, column = rows[place], columns[place]
        used = scope[row] * np.where(money, problem.expense[row, column], 1.0)
        if choice[column] == NOTHING_CHOSEN and (used <= left).all():
            left -= used
            choice[column] = row
    return choice
