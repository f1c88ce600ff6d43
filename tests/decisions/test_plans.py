"""Plans: within all constraints, near the relaxed optimum, and with true prices."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisions.plans.exact import relaxed_optimum
from decisions.plans.plan import make_plan
from decisions.plans.problem import NOTHING_CHOSEN, Constraint, Infeasible, PlanProblem


def problem(customers: int, actions: int, seed: int, *constraints: Constraint) -> PlanProblem:
    random = np.random.default_rng(seed)
    worth = random.gamma(1.0, 3.0, (actions, customers)) - 1
    worth[random.random(worth.shape) < 0.3] = -np.inf
    expense = random.gamma(2.0, 0.5, worth.shape) + 0.05
    return PlanProblem(tuple(f"a{i}" for i in range(actions)), worth, expense, constraints)


def rows(actions: int, *members: int) -> np.ndarray:
    return np.isin(np.arange(actions), members or range(actions))


FIVE = (
    Constraint("total", "money", 60.0, rows(4)),
    Constraint("first", "money", 15.0, rows(4, 0)),
    Constraint("calls", "contacts", 12, rows(4, 1)),
    Constraint("all", "contacts", 90, rows(4)),
    Constraint("try", "at_least", 20, rows(4, 3)),
)


@settings(max_examples=40)
@given(
    st.integers(0, 10_000),
    st.integers(30, 200),
    st.floats(1, 80),
    st.floats(1, 40),
    st.integers(1, 40),
    st.integers(0, 8),
)
def test_a_plan_meets_every_constraint_and_nearly_the_relaxed_optimum(
    seed: int, customers: int, money: float, first: float, calls: int, least: int
) -> None:
    constraints = [
        Constraint("total", "money", money, rows(4)),
        Constraint("first", "money", first, rows(4, 0)),
        Constraint("calls", "contacts", calls, rows(4, 1)),
    ]
    if least:
        constraints.append(Constraint("try", "at_least", least, rows(4, 3)))
    given_ = problem(customers, 4, seed, *constraints)
    plan = None
    with contextlib.suppress(Infeasible):
        plan = make_plan(given_)
    if plan is None:
        assert least
        return
    for use in plan.constraints:
        if use.kind == "at_least":
            assert use.used >= use.limit
        else:
            assert use.used <= use.limit * (1 + 1e-6)
    chosen = np.flatnonzero(plan.choice != NOTHING_CHOSEN)
    assert np.isfinite(given_.worth[plan.choice[chosen], chosen]).all()
    exact = relaxed_optimum(given_)
    largest = given_.worth[np.isfinite(given_.worth)].max()
    assert plan.bound >= exact.optimum - 1e-6
    assert plan.bound <= exact.optimum + 1e-3 * abs(exact.optimum) + 1e-6
    # Each constraint divides at most one customer.
    assert exact.optimum - plan.worth <= len(constraints) * largest + 1e-6
    assert plan.worth == pytest.approx(given_.objective(plan.choice))


def test_prices_are_those_of_the_relaxed_optimum_and_say_what_one_more_unit_brings() -> None:
    given_ = problem(5_000, 4, 1, *FIVE)
    plan, exact = make_plan(given_), relaxed_optimum(given_)
    assert plan.prices == pytest.approx(exact.prices, rel=0.05, abs=0.02)
    assert plan.gap < 0.02
    richer = Constraint("total", "money", 61.0, rows(4))
    more = relaxed_optimum(problem(5_000, 4, 1, richer, *FIVE[1:]))
    assert more.optimum - exact.optimum == pytest.approx(plan.prices[0], rel=0.05)
    assert {use.name for use in plan.constraints if use.binding} <= {c.name for c in FIVE}


def test_without_constraints_everybody_gets_the_best() -> None:
    given_ = problem(500, 3, 2)
    plan = make_plan(given_)
    best = np.maximum(given_.worth.max(axis=0), 0)
    assert plan.worth == pytest.approx(best.sum())
    assert plan.gap == pytest.approx(0)


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        ([Constraint("march", "money", 0, rows(4))], "the budget march is 0"),
        ([Constraint("try", "at_least", 400, rows(4, 3))], "try: at least 400 .* only 1[0-9][0-9] may get"),
        (
            [
                Constraint("try", "at_least", 50, rows(4, 3)),
                Constraint("calls", "contacts", 20, rows(4, 2, 3)),
            ],
            "try: at least 50 customers need 50.00 of calls, which has 20.00",
        ),
        (
            [Constraint("try", "at_least", 50, rows(4, 3)), Constraint("march", "money", 2, rows(4))],
            "try: at least 50 customers need .* of march, which has 2.00",
        ),
    ],
)
def test_a_plan_that_cannot_be_made_says_which_constraint(constraints: list[Constraint], words: str) -> None:
    with pytest.raises(Infeasible, match=words):
        make_plan(problem(200, 4, 3, *constraints))


def test_a_large_shop_is_planned_from_a_sample_and_all() -> None:
    scaled = [
        Constraint(c.name, c.kind, c.limit * 20, c.rows) for c in FIVE
    ]  # 100,000 customers are more than two samples
    plan = make_plan(problem(100_000, 4, 4, *scaled))
    assert plan.gap < 0.002
