"""Which action for which customer: a pure function of scores, facts, rules and the shop's day.

**Value.** An action is worth the change of the expected margin by its *declared* effect, less what it
costs, in currency. With p the score, p' the score after the declared effect, m the margin and d the
discount (both shares of the price):

- on propensity, within its horizon, with v the customer's average order value::

      p' × (m − d) × v  −  p × m × v  −  cost

- on churn (c becomes c'), with V what a customer who stays brings within the horizon of clv, and s the
  share of that which falls within churn's horizon::

      V = clv / max(1 − c, 0.05)        s = min(1, days of churn / days of clv)
      (c − c') × m × V  −  (1 − c') × d × s × V  −  cost

The discount is paid on every order of who was offered it, also on those that would have come anyway.
Doing nothing is worth 0, and always an option.

**Choice.** Of the permitted options (conditions hold, last chosen long enough ago, channel asked for,
value known) the one worth most, of two alike the cheaper one; but a share of the customers get nothing
for a month (control), and of the others' decisions a share is drawn evenly among the permitted options
(exploration). The draws are keyed hashes, so that a customer is answered alike all day, and with k
permitted options each was chosen with probability::

      P(a) = control × [a is nothing] + (1 − control) × ((1 − exploration) × [a is best] + exploration / k)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.calendar import date_of
from decisions.actions import NOTHING, Action, Actions
from decisions.reasons import Because, because

ORDER_VALUE = "average_order_value"
LEAST_STAYING = 0.05  # a customer who is all but lost is worth at most 20 times their clv, if they stay


@dataclass(frozen=True)
class Scored:
    """A model's answer about a customer: a score, or the reason why there is none."""

    score: float | None
    reason: str | None = None
    version: str | None = None
    horizon_days: int | None = None


@dataclass(frozen=True)
class Known:
    """What is known of a customer when deciding.

    Attributes:
        key: the customer's number; the draws are made from it.
        scores: by model. facts: features by name; None where missing.
        days_since: per action that was ever chosen for them, the days since it last was.
        unknown: why nothing is known of them, where that is so.
    """

    key: int
    scores: Mapping[str, Scored]
    facts: Mapping[str, Any]
    days_since: Mapping[str, int] = field(default_factory=dict)
    unknown: str | None = None


@dataclass(frozen=True)
class Option:
    """An action as it stands for one customer.

    Attributes:
        value: what it is worth, in currency; None for one that is not offered.
        why: for the chosen one why, for any other why not.
    """

    action: str
    channel: str | None
    cost: float
    value: float | None
    why: tuple[Because, ...]


@dataclass(frozen=True)
class Recommendation:
    """What to do for a customer, and why nothing else.

    Attributes:
        how: ``best``, ``explored`` or ``control``.
        probabilities: of each permitted option, as they were before any draw; they sum to 1.
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
        """With which the chosen option was chosen."""
        return self.probabilities[self.chosen.action]


def recommend(
    known: Known, actions: Actions, day: int, salt: bytes, channels: Collection[str] | None = None
) -> Recommendation:
    """The next best action for one customer; see the top of this file.

    Args:
        day: the shop's day (days since 1970-01-01).
        salt: the key of the draws, 16 to 64 bytes; another one draws otherwise.
        channels: those asked for; None for all.
    """
    judged = [_judge(action, known, actions.margin, channels) for action in actions.actions]
    options = [
        Option(NOTHING, None, 0.0, 0.0, ()),
        *(option for option in judged if option.value is not None),
    ]
    options.sort(key=lambda option: (-_value(option), option.cost, option.action))
    best = options[0]
    how, chosen = _draw(known.key, options, actions, day, salt)
    return Recommendation(
        chosen=_with(chosen, _why(chosen, how, options, known)),
        how=how,
        probabilities=_probabilities(options, actions),
        runners_up=tuple(_with(o, (_why_not(o, how, best),)) for o in options if o is not chosen),
        not_offered=tuple(option for option in judged if option.value is None),
    )


def _value(option: Option) -> float:
    assert option.value is not None
    return option.value


def _with(option: Option, why: tuple[Because, ...]) -> Option:
    return Option(option.action, option.channel, option.cost, option.value, why)


def _judge(action: Action, known: Known, margin: float, channels: Collection[str] | None) -> Option:
    """The action with its value and where that comes from, or with why it is not offered."""
    value, why = None, _refusal(action, known, channels)
    if why is None:
        by_effect = _by_propensity if action.effect.on == "propensity" else _by_churn
        value, reasons = by_effect(action, known, margin)
    else:
        reasons = (why,)
    return Option(action.name, action.channel, action.cost, value, reasons)


def _refusal(action: Action, known: Known, channels: Collection[str] | None) -> Because | None:
    if channels is not None and action.channel not in channels:
        return because("channel")
    for condition in action.who:
        if why := condition.refusal(known.facts):
            return why
    days = known.days_since.get(action.name)
    if days is not None and days < action.repeat_after_days:
        return because("repeat", days=days, limit=action.repeat_after_days)
    return None


Valued = tuple[float | None, tuple[Because, ...]]


def _by_propensity(action: Action, known: Known, margin: float) -> Valued:
    scored, order = known.scores.get("propensity"), known.facts.get(ORDER_VALUE)
    if scored is None or scored.score is None:
        return None, (_no_score("propensity", scored),)
    if order is None or not math.isfinite(order):
        return None, (because("no_order_value"),)
    before, after = scored.score, action.effect.after(scored.score)
    gain = (after * (margin - action.discount) - before * margin) * order
    told = because("order_value", value=order, margin=margin, discount=action.discount)
    return gain - action.cost, _reasons("propensity", before, after, told, gain, action.cost)


def _by_churn(action: Action, known: Known, margin: float) -> Valued:
    churn, clv = known.scores.get("churn"), known.scores.get("clv")
    if churn is None or churn.score is None:
        return None, (_no_score("churn", churn),)
    if clv is None or clv.score is None:
        return None, (_no_score("clv", clv),)
    before, after = churn.score, action.effect.after(churn.score)
    stays = clv.score / max(1 - before, LEAST_STAYING)
    share = (
        min(1.0, churn.horizon_days / clv.horizon_days) if churn.horizon_days and clv.horizon_days else 1.0
    )
    gain = ((before - after) * margin - (1 - after) * action.discount * share) * stays
    told = because("stays", value=stays, days=clv.horizon_days, margin=margin, discount=action.discount)
    return gain - action.cost, _reasons("churn", before, after, told, gain, action.cost)


def _no_score(model: str, scored: Scored | None) -> Because:
    return because("no_score", model=model, reason=(scored and scored.reason) or "it was not asked for")


def _reasons(
    model: str, before: float, after: float, worth: Because, gain: float, cost: float
) -> tuple[Because, ...]:
    effect = because("effect", model=model, before=before, after=after)
    return effect, worth, because("brings", gain=gain, cost=cost)


def _draw(key: int, options: list[Option], actions: Actions, day: int, salt: bytes) -> tuple[str, Option]:
    """How the choice is made, and the choice; ``options`` begin with the best one."""
    date = date_of(day)
    if uniform(salt, "control", key, f"{date:%Y-%m}") < actions.control_share:
        return "control", next(option for option in options if option.action == NOTHING)
    if uniform(salt, "explore", key, date) < actions.exploration_share:
        by_name = sorted(options, key=lambda option: option.action)
        return "explored", by_name[int(uniform(salt, "which", key, date) * len(by_name))]
    return "best", options[0]


def uniform(salt: bytes, *parts: object) -> float:
    """A number from 0 up to but not 1, drawn by a keyed hash: the same parts give the same number."""
    said = hashlib.blake2b(repr([str(part) for part in parts]).encode(), key=salt, digest_size=8)
    return (int.from_bytes(said.digest(), "big") >> 11) / 2**53


def _probabilities(options: list[Option], actions: Actions) -> dict[str, float]:
    treated, explored = 1 - actions.control_share, actions.exploration_share
    found = {option.action: treated * explored / len(options) for option in options}
    found[options[0].action] += treated * (1 - explored)
    found[NOTHING] += actions.control_share
    return found


def _why(chosen: Option, how: str, options: list[Option], known: Known) -> tuple[Because, ...]:
    if known.unknown is not None:
        first = [because("no_facts", reason=known.unknown)]
    elif how == "control":
        first = [because("control")]
    elif how == "explored":
        first = [because("drawn", count=len(options))]
    elif chosen.action == NOTHING:
        first = [because("nothing_pays" if len(options) > 1 else "nothing_permitted")]
    else:
        first = []
    return (*first, *chosen.why)


def _why_not(option: Option, how: str, best: Option) -> Because:
    if _value(option) < 0:
        return because("loss", value=option.value)
    if how == "control":
        return because("control")
    if how == "explored":
        return because("not_drawn")
    return because("less", value=option.value, best=best.value, action=best.action)
