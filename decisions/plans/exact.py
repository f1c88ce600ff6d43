"""The relaxed problem solved exactly, as a check of the prices; for small problems only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisions.plans.problem import Infeasible, PlanProblem


@dataclass(frozen=True)
class Relaxed:
    """The optimum when customers can be divided.

    Attributes:
        optimum: the worth, at least that of every plan.
        prices: what one more unit of each constraint's limit adds to it.
        shares: of each customer that each action gets, by action and customer.
    """

    optimum: float
    prices: NDArray[np.float64]
    shares: NDArray[np.float64]


def relaxed_optimum(problem: PlanProblem) -> Relaxed:
    """Solve the relaxed problem by :func:`scipy.optimize.linprog` (HiGHS).

    Raises:
        Infeasible: the constraints contradict each other.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    solve: Any = linprog  # its stubs know no sparse matrix
    rows, columns = np.nonzero(np.isfinite(problem.worth))
    size, count = len(problem.constraints), len(rows)
    variables = np.arange(count)
    places, entries = [columns + size], [np.ones(count)]
    of_variables = [variables]
    for index, constraint in enumerate(problem.constraints):
        used = constraint.rows[rows]
        consumed = (
            problem.expense[rows, columns] if constraint.kind == "money" else np.full(count, constraint.sign)
        )
        places.append(np.full(int(used.sum()), index))
        entries.append(consumed[used].astype(np.float64))
        of_variables.append(variables[used])
    matrix = coo_array(
        (np.concatenate(entries), (np.concatenate(places), np.concatenate(of_variables))),
        shape=(size + problem.customers, count),
    ).tocsr()
    limits = [*(constraint.bound for constraint in problem.constraints), *np.ones(problem.customers)]
    solved = solve(
        -problem.worth[rows, columns].astype(np.float64),
        A_ub=matrix, b_ub=limits, bounds=(0, None), method="highs",
    )  # fmt: skip
    if solved.status == 2:
        raise Infeasible("the budgets contradict each other: no plan meets them all")
    shares = np.zeros(problem.worth.shape)
    shares[rows, columns] = solved.x
    return Relaxed(-float(solved.fun), -solved.ineqlin.marginals[:size], shares)
