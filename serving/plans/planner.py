"""Plans everybody's action under the budgets of ``actions.toml``, from the present scores and features.

A plan is a preview: nothing is logged, reserved or sent, so another look at it uses nothing up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.progress import Progress, silent
from decisions.catalogue.actions import Actions
from decisions.checks import PolicyRequest, refusal
from decisions.holdout import membership
from decisions.plans.eligibility import eligible
from decisions.plans.plan import ActionPlan, make_plan
from decisions.plans.problem import NOTHING_CHOSEN, Numbers, PlanProblem, constraints_of
from decisions.policy import is_service
from decisions.values.valuation import Valuer
from events.identity import merged_keys
from features.offline import habit_profiles
from records.contacts.history import ContactHistory
from records.decision import DecisionRequest
from serving.decisions.budgets.requests import budget_use
from serving.decisions.contexts import customer_context, preferences_of
from serving.decisions.decider import Decider
from serving.plans.customers import PlanCustomers, read_customers

CHUNK = 50_000
ROUNDS = 4


@dataclass(frozen=True)
class PlannedShop:
    """A plan for the customers of a shop.

    Attributes:
        keys: of the customers, in the order of the plan's choice.
        money: currency for all actions together, in addition to the budgets; None for no such limit.
        value: per customer the expected value of the planned action, in currency.
        expense: per customer its expected money, discounts included.
    """

    question: DecisionRequest
    rules: Actions
    keys: Sequence[int]
    money: float | None
    plan: ActionPlan
    value: NDArray[np.float64]
    expense: NDArray[np.float64]


def plan_shop(
    decider: Decider,
    question: DecisionRequest,
    rules: Actions,
    keys: Sequence[int],
    money: float | None = None,
    progress: Progress = silent,
) -> PlannedShop:
    """Plan for these customers.

    Args:
        money: currency for all actions together, in addition to the budgets.

    Raises:
        Infeasible: a constraint cannot be met; the message names it.
        PatronError: a store is missing or unreadable, or an effect has no formula.
    """
    problem, chunks = build_problem(decider, question, rules, keys, money, progress)
    progress("planning", 0.9)
    plan = _plan_permitted(problem, chunks, decider, question, rules)
    places = np.flatnonzero(plan.choice != NOTHING_CHOSEN)
    rows = plan.choice[places].astype(np.intp)
    factors = _ranking_factors(decider, rules, keys, rows, places)
    value, spent = np.zeros(len(keys)), np.zeros(len(keys))
    priority = problem.worth[rows, places].astype(np.float64)
    value[places] = np.where(priority > 0, priority / factors, priority)
    spent[places] = problem.expense[rows, places]
    progress("planning", 1.0)
    return PlannedShop(question, rules, keys, money, plan, value, spent)


def _ranking_factors(
    decider: Decider,
    rules: Actions,
    keys: Sequence[int],
    rows: NDArray[np.intp],
    places: NDArray[np.intp],
) -> NDArray[np.float64]:
    """By what the value of each chosen pair was multiplied in the ranking: lever and channel preference."""
    levers = np.array([1.0 if "lever" in rules.factors_off else a.lever for a in rules.actions])
    factors = levers[rows]
    if "channel_preference" in rules.factors_off:
        return factors
    chosen = np.array(keys, np.int64)[places]
    preferences = preferences_of(chosen.tolist(), rules, habit_profiles.load(decider.scorer.home))
    for row, action in enumerate(rules.actions):
        if action.channel in preferences:
            factors = np.where(rows == row, factors * preferences[action.channel], factors)
    return factors


def build_problem(
    decider: Decider,
    question: DecisionRequest,
    rules: Actions,
    keys: Sequence[int],
    money: float | None = None,
    progress: Progress = silent,
) -> tuple[PlanProblem, list[PlanCustomers]]:
    """The problem of a plan for these customers, before the checks that need contacts.

    Returns:
        The problem, and the customers in chunks of ``CHUNK``.
    """
    count = len(rules.actions)
    worth = np.full((count, len(keys)), -np.inf, np.float32)
    expense = np.zeros((count, len(keys)), np.float32)
    chunks = []
    for start in range(0, len(keys), CHUNK):
        progress("valuing", start / len(keys))
        inside = slice(start, start + CHUNK)
        part = np.array(keys[inside], np.int64)
        chunks.append(read_customers(decider.scorer, decider.categories, part, rules))
        worth[:, inside], expense[:, inside] = _value(chunks[-1], decider, question, rules)
    names = tuple(action.name for action in rules.actions)
    use = budget_use(decider.log.spent(question), question, decider.scorer.shop.time_zone)
    return PlanProblem(names, worth, expense, constraints_of(rules, money, use)), chunks


def _value(
    chunk: PlanCustomers, decider: Decider, question: DecisionRequest, rules: Actions
) -> tuple[Numbers, Numbers]:
    """What each action is worth, and costs, for some customers; -inf where it is not permitted."""
    preferences = preferences_of(chunk.keys.tolist(), rules, habit_profiles.load(decider.scorer.home))
    values = Valuer(rules).values(chunk.value_inputs(preferences))
    request = PolicyRequest(rules, question.day, question.channels)
    zone = decider.scorer.shop.time_zone
    permitted = eligible(chunk.rule_table(), chunk.facts_days(zone, question.day), request)
    permitted &= np.isfinite(values.priority) & ~values.harmful
    keys = chunk.keys.tolist()
    holdout = membership(decider.log, decider.scorer.identity, keys, question.at, zone).held_out
    service = np.array([is_service(action.channel, rules) for action in rules.actions])
    permitted &= ~np.isin(chunk.keys, [*holdout]) | service[:, None]
    worth = np.where(permitted, values.priority, -np.inf).astype(np.float32)
    return worth, np.where(permitted, values.expense, 0).astype(np.float32)


def _plan_permitted(
    problem: PlanProblem,
    chunks: Sequence[PlanCustomers],
    decider: Decider,
    question: DecisionRequest,
    rules: Actions,
) -> ActionPlan:
    """A plan whose every action passes all checks.

    The checks that need a customer's contacts run for the chosen customers only; what they refuse is removed,
    and the plan is made again.
    """
    permitted: set[tuple[int, int]] = set()
    for _ in range(ROUNDS):
        plan = make_plan(problem)
        chosen = [
            (int(place), int(plan.choice[place]))
            for place in np.flatnonzero(plan.choice != NOTHING_CHOSEN)
            if (int(place), int(plan.choice[place])) not in permitted
        ]
        refused = set(_refused(chosen, chunks, decider, question, rules))
        if not refused:
            return plan
        permitted.update(pair for pair in chosen if pair not in refused)
        for place, row in refused:
            problem.worth[row, place] = -np.inf
    blocked = np.full(problem.worth.shape, -np.inf, problem.worth.dtype)
    for place, row in permitted:
        blocked[row, place] = problem.worth[row, place]
    return make_plan(replace(problem, worth=blocked))


def _refused(
    chosen: Sequence[tuple[int, int]],
    chunks: Sequence[PlanCustomers],
    decider: Decider,
    question: DecisionRequest,
    rules: Actions,
) -> Iterator[tuple[int, int]]:
    """Of these pairs of a customer's place and an action's row, those that a check refuses."""
    request = PolicyRequest(rules, question.day, question.channels)
    zone = decider.scorer.shop.time_zone
    habits = habit_profiles.load(decider.scorer.home)
    for number, chunk in enumerate(chunks):
        first = number * CHUNK
        inside = [(place, row) for place, row in chosen if 0 <= place - first < len(chunk.keys)]
        keys = [int(chunk.keys[place - first]) for place, _ in inside]
        if not keys:
            continue
        consents = decider.consents.of(keys, question.at)
        with decider.log.reading() as connection:
            history = ContactHistory(connection, keys, question.at, merged_keys, question.counted_rules)
        offers = decider.offers.of(list(dict.fromkeys(keys)), rules.placeholders)
        rows = chunk.rows([place - first for place, _ in inside], rules)
        for (place, row), key, (scores, facts, as_of) in zip(inside, keys, rows, strict=True):
            context = customer_context(
                key, scores, facts, history.of(key), consents[key], question, rules, zone, as_of,
                offer=offers.get(key), habits=habits,
            )  # fmt: skip
            if refusal(rules.actions[row], context, request):
                yield place, row
