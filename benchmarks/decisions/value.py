"""The profit under budgets that bind, in simulated shops whose declared effects are true.

In each of five shops the models are trained, and everybody's action is planned under the same money and
capacities: 35 % of the money that a plan without budgets would spend, and half of its contacts by the action
used most. Each policy keeps to the budgets by the expenses that the scores predict. Its profit is the
expected change of the net margin within the value horizon under the truth. The compared policies:

- ours: the plan;
- best single action: one action for all, by propensity, chosen in hindsight;
- propensity × value: by the revenue margin that is expected with the action, without what would have come
  anyway;
- greedy: pairs of a customer and an action by worth per expense;
- the limit: the optimum of the linear programme with the true effects on the same scores; beside it
  ``knowing``, which also knows each customer's true probabilities.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.decisions.greedy import take_in_order
from benchmarks.harness.report import Result
from benchmarks.policy.shops import ACTIONS, RULES, Customer, make_shop, truth
from core.home import Home
from decisions.plans.exact import relaxed_optimum
from decisions.plans.plan import make_plan
from decisions.plans.problem import NOTHING_CHOSEN, Constraint, PlanProblem
from records.decisions import DecisionLog
from serving.decisions.decider import Decider
from serving.decisions.selection import select_keys
from serving.plans.planner import build_problem
from serving.scores.scorer import open_scorer

SEEDS = (1, 2, 3, 4, 5)
MONEY_SHARE, CONTACT_SHARE = 0.35, 0.5
Matrix = NDArray[np.float64]
OTHERS = ("best_single_action", "propensity_times_value", "greedy")


def measure(seeds: tuple[int, ...] = SEEDS) -> dict[str, Result]:
    """Mean profit per customer of ours, with each other policy as the peer."""
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        shops = [*processes.map(_profits, seeds)]
    means = {name: float(np.mean([shop[name] for shop in shops])) for name in shops[0]}
    for seed, shop in zip(seeds, shops, strict=True):
        print(
            f"  value, shop {seed}: " + ", ".join(f"{name} {p:.3f}" for name, p in shop.items()), flush=True
        )
    results = {
        f"value_over_{name}": Result(
            means["ours"], "EUR per customer", means[name], means["limit"], better="higher"
        )
        for name in OTHERS
    }
    return results | {
        "value_knowing": Result(means["knowing"], "EUR per customer", better="higher"),
    }


def _profits(seed: int) -> dict[str, float]:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        plan = make_shop(home, seed)
        text = home.actions.read_text(encoding="utf-8")
        home.actions.write_text(text.replace("holdout_share = 0.05", "holdout_share = 0.0"), encoding="utf-8")
        with DecisionLog(home) as log:
            decider = Decider(open_scorer(home, None), log)
            rules = decider.rules()
            question = decider.question(rules, None, "benchmark")
            keys = select_keys(decider.scorer, None).tolist()
            problem, (chunk,) = build_problem(decider, question, rules, keys)
            horizons = {model.name: int(model.manifest["horizon_days"]) for model in chunk.models}
        known = truth(home, plan, horizons)
        inputs = chunk.value_inputs({})
        return compare(
            problem, _true_worth(known, keys, problem), inputs.scores["propensity"], inputs.features
        )


def compare(
    free: PlanProblem, true: Matrix, propensity: Matrix, features: Mapping[str, Matrix]
) -> dict[str, float]:
    """The profit per customer of every policy under the same budgets, by the truth."""
    problem = replace(free, constraints=_budgets(free))
    order_value = features["average_order_value"]
    choices = {
        "ours": make_plan(problem).choice,
        "propensity_times_value": take_in_order(
            problem, _without_increments(propensity, order_value, problem)
        ),
        "greedy": take_in_order(problem, problem.worth / np.maximum(problem.expense, 1e-3)),
    }
    profits = {name: _profit(choice, true) for name, choice in choices.items()}
    best = replace(problem, worth=np.where(np.isfinite(problem.worth), true, -np.inf))
    for name, solved in {"limit": relaxed_optimum(problem), "knowing": relaxed_optimum(best)}.items():
        profits[name] = float((solved.shares * np.where(solved.shares > 0, true, 0)).sum()) / true.shape[1]
    singles = []
    for row in range(len(problem.names)):
        only = np.full(problem.worth.shape, -np.inf)
        only[row] = propensity
        singles.append(_profit(take_in_order(problem, only), true))
    return profits | {"best_single_action": max(singles)}


def _budgets(free: PlanProblem) -> tuple[Constraint, ...]:
    """Budgets that bind: shares of what a plan without any would use."""
    plan = make_plan(free)
    most = max(range(len(free.names)), key=lambda row: plan.actions[row].customers)
    every = np.ones(len(free.names), bool)
    return (
        Constraint("money", "money", MONEY_SHARE * plan.expense, every),
        Constraint(
            "most used", "contacts", int(CONTACT_SHARE * plan.actions[most].customers),
            np.arange(len(free.names)) == most,
        ),
    )  # fmt: skip


def _true_worth(known: Mapping[int, Customer], keys: list[int], problem: PlanProblem) -> Matrix:
    return np.array([[known[key].worth(name) for key in keys] for name in problem.names])


def _without_increments(propensity: Matrix, order_value: Matrix, problem: PlanProblem) -> Matrix:
    """The expected margin with the action, less its cost: what would have come anyway counts, too."""
    rows = []
    for name in problem.names:
        action = ACTIONS[name]
        on_orders = action.effect.on == "propensity"
        after = np.array([action.effect.after(p) for p in propensity]) if on_orders else propensity
        rows.append(after * (RULES.margin - action.discount) * order_value - action.cost)
    return np.array(rows)


def _profit(choice: NDArray[np.int16], true: Matrix) -> float:
    chosen = np.flatnonzero(choice != NOTHING_CHOSEN)
    return float(true[choice[chosen].astype(np.intp), chosen].sum()) / len(choice)
