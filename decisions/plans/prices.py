"""Prices of constraints: the Lagrange multipliers with which everybody's best action uses what there is.

With prices λ, each customer gets the action with the highest worth − Σ λ(b) × consumption(b), or none. The
dual function

    D(λ) = Σ over customers of max(0, max over a of (worth − Σ λ(b) × consumption(b))) + Σ λ(b) × limit(b)

is convex and, for every λ >= 0, at least the worth of every permitted plan. Its minimum is the optimum of the
relaxed problem, in which customers can be divided; an optimum divides at most as many customers as there are
constraints. The minimum is searched by cutting planes within a trust region: D is evaluated for all
customers, and a small linear programme (:func:`scipy.optimize.linprog`, HiGHS) chooses the next prices.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisions.plans.problem import NOTHING_CHOSEN, Constraint, PlanProblem

CHUNK = 1 << 16
SAMPLE = 20_000
MAX_STEPS = 80
TOLERANCE = 1e-6

Vector = NDArray[np.float64]
Choice = NDArray[np.int16]


@dataclass(frozen=True)
class Priced:
    """What prices lead to.

    Attributes:
        dual: D, an upper bound of every plan's worth.
        choice: per customer the row of the action, or ``NOTHING_CHOSEN``.
        usage: of each constraint.
    """

    prices: Vector
    dual: float
    choice: Choice
    usage: Vector


def optimal_prices(problem: PlanProblem) -> Priced:
    """The prices that minimise D, and what they lead to.

    More than ``SAMPLE`` customers are sampled first: their prices are close to those of all.
    """
    if not problem.constraints:
        return evaluate(problem, np.zeros(0))
    start, radius = np.zeros(len(problem.constraints)), 1.0
    if problem.customers > 2 * SAMPLE:
        start, radius = _descend(_sample(problem), start, radius).prices, 0.02
    return _descend(problem, start, radius)


def evaluate(problem: PlanProblem, prices: Vector) -> Priced:
    """D at these prices, and everybody's choice."""
    per_expense, per_contact = coefficients(problem.constraints, prices, len(problem.names))
    choice = np.full(problem.customers, NOTHING_CHOSEN, np.int16)

    def work(columns: slice) -> float:
        best = np.zeros(columns.stop - columns.start, problem.worth.dtype)
        chosen = choice[columns]
        for row in range(len(problem.names)):
            net = net_worth(problem, row, columns, per_expense, per_contact)
            better = net > best
            np.copyto(best, net, where=better)
            np.copyto(chosen, np.int16(row), where=better)
        return float(best.sum(dtype=np.float64))

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        surplus = sum(threads.map(work, _chunks(problem.customers)))
    bounds = np.array([constraint.bound for constraint in problem.constraints])
    return Priced(prices, surplus + float(prices @ bounds), choice, problem.usage(choice))


def coefficients(constraints: tuple[Constraint, ...], prices: Vector, actions: int) -> tuple[Vector, Vector]:
    """Per action, the price of a unit of its expense and of a contact by it."""
    per_expense, per_contact = np.zeros(actions), np.zeros(actions)
    for constraint, price in zip(constraints, prices, strict=True):
        target = per_expense if constraint.kind == "money" else per_contact
        target += price * constraint.sign * constraint.rows
    return per_expense, per_contact


def net_worth(
    problem: PlanProblem,
    row: int,
    columns: slice | NDArray[np.intp],
    per_expense: Vector,
    per_contact: Vector,
) -> NDArray[np.floating]:
    """The worth of an action for some customers, less the prices of what it consumes."""
    net: NDArray[np.floating] = problem.worth[row, columns]
    dtype = net.dtype.type
    if per_expense[row]:
        net = net - dtype(per_expense[row]) * problem.expense[row, columns]
    return net - dtype(per_contact[row]) if per_contact[row] else net


def _descend(problem: PlanProblem, start: Vector, radius: float) -> Priced:
    """Cutting planes within a trust region around the best prices so far."""
    scale = _scale(problem)
    bounds = np.array([constraint.bound for constraint in problem.constraints])
    best = evaluate(problem, start)
    unit = max(abs(best.dual), 1e-12)
    cuts = [_cut(best, bounds, scale, unit)]
    for _ in range(MAX_STEPS):
        centre = best.prices / scale
        point, model = _minimise(cuts, centre, radius)
        promised = best.dual / unit - model
        if promised <= TOLERANCE * abs(best.dual) / unit:
            break
        tried = evaluate(problem, point * scale)
        cuts.append(_cut(tried, bounds, scale, unit))
        gained = (best.dual - tried.dual) / unit
        if gained >= 0.5 * promised and np.abs(point - centre).max() > 0.9 * radius:
            radius *= 2
        elif gained < 0.25 * promised:
            radius /= 2
        if gained > 0:
            best = tried
    return best


def _cut(priced: Priced, bounds: Vector, scale: Vector, unit: float) -> tuple[Vector, float]:
    """The plane below D that touches it at these prices: its slope and its value at 0."""
    slope = (bounds - priced.usage) * scale / unit
    return slope, priced.dual / unit - float(slope @ (priced.prices / scale))


def _minimise(cuts: list[tuple[Vector, float]], centre: Vector, radius: float) -> tuple[Vector, float]:
    """The lowest point of the highest plane within the trust region, and its value."""
    from scipy.optimize import linprog

    solve: Any = linprog  # its stubs have no result without a solution
    slopes, values = np.array([slope for slope, _ in cuts]), np.array([value for _, value in cuts])
    size = len(centre)
    solved = solve(
        np.append(np.zeros(size), 1.0),
        A_ub=np.hstack([slopes, -np.ones((len(cuts), 1))]),
        b_ub=-values,
        bounds=[*((max(0.0, c - radius), c + radius) for c in centre), (None, None)],
        method="highs",
    )
    return np.maximum(solved.x[:size], 0.0), float(solved.fun)


def _scale(problem: PlanProblem) -> Vector:
    """A typical price of each constraint: 1 per unit of money, the mean positive worth per contact."""
    worth = problem.worth[:, :: max(1, problem.customers // SAMPLE)]
    positive = worth[worth > 0]
    mean = float(positive.mean(dtype=np.float64)) if positive.size else 1.0
    return np.array([1.0 if c.kind == "money" else mean for c in problem.constraints])


def _sample(problem: PlanProblem) -> PlanProblem:
    """The same problem for a sample of the customers, with the same share of every limit."""
    columns = np.random.default_rng(0).choice(problem.customers, SAMPLE, replace=False)
    share = SAMPLE / problem.customers
    limits = tuple(replace(c, limit=c.limit * share) for c in problem.constraints)
    return PlanProblem(problem.names, problem.worth[:, columns], problem.expense[:, columns], limits)


def _chunks(customers: int) -> Iterator[slice]:
    for start in range(0, customers, CHUNK):
        yield slice(start, min(start + CHUNK, customers))
