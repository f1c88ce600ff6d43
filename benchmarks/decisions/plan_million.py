"""A plan for 1,000,000 customers × 20 actions × 5 budgets: less than 90 s and 8 GB, within 1 % of the bound.

From scores and features in columns to everybody's action. The peer takes, under the same budgets, the pairs
of a customer and an action by their worth per expense, one after another. The limit is the dual bound, which
no plan can exceed.
"""

from __future__ import annotations

import resource
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.decisions.catalogues import catalogue, customers
from benchmarks.decisions.greedy import take_in_order
from benchmarks.harness.report import Result
from benchmarks.harness.rounds import apart
from decisions.plans.plan import make_plan
from decisions.plans.problem import PlanProblem, constraints_of
from decisions.values.inputs import ValueInputs
from decisions.values.valuation import Valuer

CUSTOMERS, ACTIONS, BUDGETS = 1_000_000, 20, 5
CHUNK = 50_000


def measure() -> dict[str, Result]:
    """Seconds, memory, worth against greedy and the bound, and the gap."""
    seconds, gigabytes, worth, greedy_worth, bound = apart(_plan)
    print(f"  plan_million: {seconds:.1f} s, {gigabytes:.1f} GB, {1 - worth / bound:.3%} below the bound")
    return {
        "plan_million": Result(seconds, "s"),
        "plan_million_memory": Result(gigabytes, "GB"),
        "plan_million_worth": Result(worth, "EUR", greedy_worth, bound, better="higher"),
    }


def problem_of(inputs: ValueInputs) -> PlanProblem:
    """The values of all actions for all customers, in chunks, as the planner computes them."""
    rules = catalogue(ACTIONS, BUDGETS)
    valuer = Valuer(rules)
    worth, expense = (np.empty((ACTIONS, inputs.size), np.float32) for _ in range(2))
    for start in range(0, inputs.size, CHUNK):
        inside = slice(start, start + CHUNK)
        part = ValueInputs(
            min(CHUNK, inputs.size - start),
            {name: column[inside] for name, column in inputs.scores.items()},
            inputs.horizons,
            {name: column[inside] for name, column in inputs.features.items()},
        )
        values = valuer.values(part)
        worth[:, inside] = np.where(np.isfinite(values.priority), values.priority, -np.inf)
        expense[:, inside] = values.expense
    names = tuple(action.name for action in rules.actions)
    return PlanProblem(names, worth, expense, constraints_of(rules))


def _plan() -> tuple[float, float, float, float, float]:
    inputs = customers(CUSTOMERS)
    start = time.perf_counter()
    problem = problem_of(inputs)
    plan = make_plan(problem)
    seconds = time.perf_counter() - start
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    some = np.arange(0, CUSTOMERS, 20)
    sample = sample_of(problem, some)
    share = CUSTOMERS / len(some)
    choice = take_in_order(sample, sample.worth / np.maximum(sample.expense, 1e-3))
    return seconds, gigabytes, plan.worth, sample.objective(choice) * share, plan.bound


def sample_of(problem: PlanProblem, columns: NDArray[np.intp]) -> PlanProblem:
    """The same problem for some customers, with their share of every limit."""
    share = len(columns) / problem.customers
    limits = tuple(replace(c, limit=c.limit * share) for c in problem.constraints)
    return PlanProblem(problem.names, problem.worth[:, columns], problem.expense[:, columns], limits)
