"""Which action for which customer: a pure function of scores, features, rules and the shop's day.

**Value.** An action is worth the change of the expected margin by its *declared* effect
(:mod:`decisions.effects` has a formula for each kind), less its cost, in currency. Doing nothing is worth 0
and is always an option.

**Choice.** An option is permitted if every check of :data:`decisions.checks.CHECKS` permits it. The
permitted option with the highest value is chosen; of two with the same value, the cheaper one. A share of
the customers get nothing for a month (control). In a share of the other customers' decisions, a permitted
option is drawn at random, all with the same probability (exploration). The draws are keyed hashes, so a
customer gets the same answer all day. With k permitted options, option a is chosen with probability::

      P(a) = control × [a is nothing] + (1 − control) × ((1 − exploration) × [a is best] + exploration / k)
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from core.calendar import date_of
from decisions.catalogue.actions import NOTHING, Action, Actions
from decisions.checks import PolicyRequest, Stage, refusal
from decisions.context import CustomerContext
from decisions.effects import gain_of
from decisions.reasons import DecisionReason, reason


@dataclass(frozen=True)
class Option:
    """An action for one customer.

    Attributes:
        value: in currency; None for an action that is not offered.
        why: for the chosen option why it was chosen, for any other why not.
        stage: the stage of the funnel that the action did not reach; None for a permitted option.
    """

    action: str
    channel: str | None
    cost: float
    value: float | None
    why: tuple[DecisionReason, ...]
    stage: Stage | None = None


@dataclass(frozen=True)
class Recommendation:
    """The action for a customer, and why not the others.

    Attributes:
        how: ``best``, ``explored`` or ``control``.
        probabilities: of each permitted option before any draw; they sum to 1.
        runners_up: the other permitted options, the most valuable first.
        not_offered: the actions that were not permitted.
    """

    chosen: Option
    how: str
    probabilities: Mapping[str, float]
    runners_up: tuple[Option, ...]
    not_offered: tuple[Option, ...]

    @property
    def probability(self) -> float:
        """The probability with which the chosen option was chosen."""
        return self.probabilities[self.chosen.action]


def recommend(
    customer: CustomerContext,
    actions: Actions,
    day: int,
    salt: bytes,
    channels: Collection[str] | None = None,
) -> Recommendation:
    """The next best action for a customer; see the top of this file.

    Args:
        day: the shop's day (days since 1970-01-01).
        salt: the key of the random draws, 16 to 64 bytes; another key gives other draws.
        channels: the requested channels; None for all.

    Raises:
        PatronError: an effect is of a kind that has no formula.
    """
    request = PolicyRequest(actions, day, channels)
    evaluated = [_evaluate(action, customer, request) for action in actions.actions]
    options = [
        Option(NOTHING, None, 0.0, 0.0, ()),
        *(option for option in evaluated if option.value is not None),
    ]
    options.sort(key=lambda option: (-_value(option), option.cost, option.action))
    best = options[0]
    how, chosen = _draw(customer.key, options, actions, day, salt)
    return Recommendation(
        chosen=replace(chosen, why=_why(chosen, how, options, customer)),
        how=how,
        probabilities=_probabilities(options, actions),
        runners_up=tuple(replace(o, why=(_why_not(o, how, best),)) for o in options if o is not chosen),
        not_offered=tuple(option for option in evaluated if option.value is None),
    )


def _value(option: Option) -> float:
    assert option.value is not None
    return option.value


def _evaluate(action: Action, customer: CustomerContext, request: PolicyRequest) -> Option:
    """The action with its value and the reasons for it, or with the reason why it is not offered."""
    if refused := refusal(action, customer, request):
        stage, why_not = refused
        return Option(action.name, action.channel, action.cost, None, (why_not,), stage)
    gain = gain_of(action.name, action.effect, customer, request.actions.margin, action.discount)
    assert not isinstance(gain, DecisionReason)  # the checks refuse actions of unknown value
    why = (
        reason("effect", model=action.effect.on, before=gain.before, after=gain.after),
        gain.basis,
        reason("brings", gain=gain.amount, cost=action.cost),
    )
    return Option(action.name, action.channel, action.cost, gain.amount - action.cost, why)


def _draw(key: int, options: list[Option], actions: Actions, day: int, salt: bytes) -> tuple[str, Option]:
    """How the choice is made, and the chosen option; ``options`` start with the best one."""
    date = date_of(day)
    if uniform(salt, "control", key, f"{date:%Y-%m}") < actions.control_share:
        return "control", next(option for option in options if option.action == NOTHING)
    if uniform(salt, "explore", key, date) < actions.exploration_share:
        by_name = sorted(options, key=lambda option: option.action)
        return "explored", by_name[int(uniform(salt, "which", key, date) * len(by_name))]
    return "best", options[0]


def uniform(salt: bytes, *parts: object) -> float:
    """A uniform number in [0, 1) from a keyed hash: the same parts give the same number."""
    digest = hashlib.blake2b(repr([str(part) for part in parts]).encode(), key=salt, digest_size=8)
    return (int.from_bytes(digest.digest(), "big") >> 11) / 2**53


def _probabilities(options: list[Option], actions: Actions) -> dict[str, float]:
    treated, explored = 1 - actions.control_share, actions.exploration_share
    probabilities = {option.action: treated * explored / len(options) for option in options}
    probabilities[options[0].action] += treated * (1 - explored)
    probabilities[NOTHING] += actions.control_share
    return probabilities


def _why(
    chosen: Option, how: str, options: list[Option], customer: CustomerContext
) -> tuple[DecisionReason, ...]:
    if customer.unknown is not None:
        first = [reason("no_facts", reason=customer.unknown)]
    elif how == "control":
        first = [reason("control")]
    elif how == "explored":
        first = [reason("drawn", count=len(options))]
    elif chosen.action == NOTHING:
        first = [reason("nothing_pays" if len(options) > 1 else "nothing_permitted")]
    else:
        first = []
    return (*first, *chosen.why)


def _why_not(option: Option, how: str, best: Option) -> DecisionReason:
    if _value(option) < 0:
        return reason("loss", value=option.value)
    if how == "control":
        return reason("control")
    if how == "explored":
        return reason("not_drawn")
    return reason("less", value=option.value, best=best.value, action=best.action)
