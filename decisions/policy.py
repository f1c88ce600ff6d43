"""Which action for which customer: a pure function of scores, features, rules and the shop's day.

**Value.** An action is worth the change of the net margin within the shop's value horizon by its *declared*
effect (:mod:`decisions.values.formulas` has a formula for each kind), less its costs, in currency. Options
are ranked by their priority, the value times the action's lever. Doing nothing is worth 0 and is always an
option.

**Prices.** Money and contacts that are limited bring something elsewhere, too. The newest released plan says
how much: the price of each budget (:mod:`decisions.plans.prices`). The priority of an action is reduced by
what it uses of the budgets, at these prices, so that single decisions leave to others what brings more there.

**Choice.** An option is permitted if every check of :data:`decisions.checks.CHECKS` permits it. The
permitted option with the highest priority is chosen; of two with the same, the cheaper one. In a share of
the decisions, an option is drawn at random (exploration) among the k permitted ones whose priority is at most
``max_exploration_loss`` below the best one's, all with the same probability. The draws are keyed hashes, so a
customer gets the same answer all day. Option a is chosen with probability::

      P(a) = (1 − exploration) × [a is best] + exploration / k

where the last term applies to the k options only.

**Holdout.** A customer of the lasting holdout (:mod:`decisions.holdout`) gets nothing in place of an action
of a marketing channel, so P(nothing) contains the probabilities of those. What the customer would have got
is logged.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from core.calendar import date_of
from decisions.catalogue.actions import EXPLORATION_LOSS_SHARE, NOTHING, Action, Actions
from decisions.checks import PolicyRequest, refusal
from decisions.context import CustomerContext
from decisions.draws import uniform
from decisions.policies.budgets import BudgetUse
from decisions.policies.prices import BudgetPrice, price_of
from decisions.reasons import DecisionReason, reason
from decisions.recommendation import Option, Recommendation
from decisions.values.formulas import ORDER_VALUE
from decisions.values.inputs import inputs_of
from decisions.values.reasons import value_reasons
from decisions.values.valuation import ActionValues, Valuer

POLICY = 4
"""The number of these rules, which is logged with each decision: another formula or draw gets another one."""


def recommend(
    customer: CustomerContext,
    actions: Actions,
    day: int,
    salt: bytes,
    channels: Collection[str] | None = None,
    budget_use: BudgetUse | None = None,
    prices: Sequence[BudgetPrice] = (),
) -> Recommendation:
    """The next best action for a customer; see the top of this file.

    Args:
        day: the shop's day (days since 1970-01-01).
        salt: the key of the random draws, 16 to 64 bytes; another key gives other draws.
        channels: the requested channels; None for all.
        budget_use: what was used of budgets; None leaves them unchecked.
        prices: of budgets, by the newest released plan.

    Raises:
        PatronError: an effect is of a kind that has no formula.
    """
    valuer = Valuer(actions)
    values = valuer.values(inputs_of(customer, valuer.features))
    expenses = {action.name: float(values.expense[row, 0]) for row, action in enumerate(actions.actions)}
    request = PolicyRequest(actions, day, channels, budget_use, expenses)
    prices = () if "budget_prices" in actions.factors_off else prices
    evaluated = [
        evaluate(action, customer, request, values, row, prices) for row, action in enumerate(actions.actions)
    ]
    options = [
        Option(NOTHING, None, 0.0, 0.0, ()),
        *(option for option in evaluated if option.value is not None),
    ]
    options.sort(key=lambda option: (-option.priority, option.cost, option.action))
    best = options[0]
    drawable = _drawable(options, customer, actions)
    how, chosen = _draw(customer.key, options, drawable, actions, day, salt)
    withheld = None
    if customer.in_holdout and not is_service(chosen.channel, actions):
        withheld, how = chosen.action, "holdout"
        chosen = next(option for option in options if option.action == NOTHING)
    return Recommendation(
        chosen=replace(chosen, why=_why(chosen, how, options, drawable, customer, request, values)),
        how=how,
        probabilities=_probabilities(options, drawable, actions, in_holdout=customer.in_holdout),
        runners_up=tuple(
            replace(o, why=(_why_not(o, how, best, drawable),)) for o in options if o is not chosen
        ),
        not_offered=tuple(option for option in evaluated if option.value is None),
        withheld=withheld,
    )


def evaluate(
    action: Action,
    customer: CustomerContext,
    request: PolicyRequest,
    values: ActionValues,
    row: int,
    prices: Sequence[BudgetPrice],
) -> Option:
    """The action with its value and what that consists of, or with the reason why it is not offered."""
    if refused := refusal(action, customer, request):
        stage, why_not = refused
        return Option(action.name, action.channel, action.cost, None, (why_not,), stage)
    price = price_of(action.name, request.expenses[action.name], prices)
    factors = {
        "margin": values.margin[row, 0],
        "discounts": values.discounts[row, 0],
        "contact_cost": action.cost,
        "acceptance_cost": values.acceptance_cost[row, 0],
        "lever": action.lever,
        "budget_price": price,
        "priority": values.priority[row, 0] - price,
    }
    value = float(values.value[row, 0])
    if values.preference[row, 0] != 1:
        factors["channel_preference"] = values.preference[row, 0]
    plain = {name: float(number) for name, number in factors.items()}
    return Option(action.name, action.channel, action.cost, value, (), factors=plain)


def is_service(channel_name: str | None, actions: Actions) -> bool:
    """Whether a channel carries service messages, which the holdout gets, too."""
    channel = actions.channels.get(channel_name or "")
    return channel is not None and channel.purpose == "service"


def _drawable(options: Sequence[Option], customer: CustomerContext, actions: Actions) -> list[Option]:
    """The options that exploration draws from, by name; ``options`` start with the best one."""
    loss = actions.max_exploration_loss
    if loss is None:
        order = customer.facts.get(ORDER_VALUE)
        if order is None or not math.isfinite(order):
            order = actions.first_order_value or 0.0
        loss = EXPLORATION_LOSS_SHARE * max(0.0, order)
    least = options[0].priority - loss
    return sorted((o for o in options if o.priority >= least), key=lambda option: option.action)


def _draw(
    key: int, options: list[Option], drawable: list[Option], actions: Actions, day: int, salt: bytes
) -> tuple[str, Option]:
    """How the choice is made, and the chosen option; ``options`` start with the best one."""
    date = date_of(day)
    if uniform(salt, "explore", key, date) < actions.exploration_share:
        return "explored", drawable[int(uniform(salt, "which", key, date) * len(drawable))]
    return "best", options[0]


def _probabilities(
    options: list[Option], drawable: list[Option], actions: Actions, *, in_holdout: bool
) -> dict[str, float]:
    explored = actions.exploration_share
    probabilities = dict.fromkeys((option.action for option in options), 0.0)
    for option in drawable:
        probabilities[option.action] += explored / len(drawable)
    probabilities[options[0].action] += 1 - explored
    if in_holdout:
        services = {o.action: probabilities[o.action] for o in options if is_service(o.channel, actions)}
        probabilities = dict.fromkeys(probabilities, 0.0) | services
        probabilities[NOTHING] = 1 - sum(services.values())
    return probabilities


def _why(
    chosen: Option,
    how: str,
    options: list[Option],
    drawable: list[Option],
    customer: CustomerContext,
    request: PolicyRequest,
    values: ActionValues,
) -> tuple[DecisionReason, ...]:
    if customer.unknown is not None:
        first = [reason("no_facts", reason=customer.unknown)]
    elif how == "holdout":
        first = [reason("holdout")]
    elif how == "explored":
        first = [reason("drawn", count=len(drawable))]
    elif chosen.action == NOTHING:
        first = [_why_nothing(options)]
    else:
        first = []
    best_time = customer.best_times.get(chosen.channel or "")
    last = [] if best_time is None else [reason("best_hour", hour=best_time.astimezone(customer.zone).hour)]
    if price := chosen.factors.get("budget_price"):
        last.append(reason("budget_price", price=price, priority=chosen.priority))
    return (*first, *value_reasons(chosen.action, customer, request.actions, values), *last)


def _why_nothing(options: list[Option]) -> DecisionReason:
    if len(options) == 1:
        return reason("nothing_permitted")
    priced_out = any(o.factors.get("budget_price") and o.value and o.value > 0 for o in options)
    return reason("nothing_above_price" if priced_out else "nothing_pays")


def _why_not(option: Option, how: str, best: Option, drawable: list[Option]) -> DecisionReason:
    if option.priority < 0:
        price = option.factors.get("budget_price", 0.0)
        if price and option.value is not None and option.value >= 0:
            return reason("priced_out", value=option.value, price=price)
        return reason("loss", value=option.value)
    if how == "holdout":
        return reason("holdout")
    if how == "explored":
        return reason("not_drawn" if option in drawable else "too_much_loss", value=option.value)
    if option.priority != option.value or best.priority != best.value:
        return reason(
            "lever_less", value=option.value, priority=option.priority, best=best.priority, action=best.action
        )
    return reason("less", value=option.value, best=best.value, action=best.action)
