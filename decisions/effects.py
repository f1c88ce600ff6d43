"""Effects: what an action is assumed to change, and what that change is worth.

:data:`FORMULAS` maps each kind of effect, the ``on`` of ``actions.toml``, to its formula. In all of them
m is the margin and d the discount, both shares of the price. The discount is paid on every order of a
customer who was offered it, also on orders that would have come anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import Field, FiniteFloat, field_validator, model_validator

from core.errors import PatronError
from decisions.context import CustomerContext, ScoreInput
from decisions.reasons import DecisionReason, reason
from decisions.sections import TomlSection

ORDER_VALUE = "average_order_value"
MIN_STAYING = 0.05  # a customer who is all but lost is worth at most 20 times their clv, if they stay


class Effect(TomlSection):
    """The assumed effect of an action on a probability: p becomes p × times + plus, within 0 and 1."""

    on: str
    times: FiniteFloat = Field(1.0, ge=0, le=100, description="a factor, from 0 to 100")
    plus: FiniteFloat = Field(0.0, ge=-1, le=1, description="a probability to add, from -1 to 1")

    @field_validator("on")
    @classmethod
    def _has_a_formula(cls, kind: str) -> str:
        if kind not in FORMULAS:
            raise ValueError(unknown_kind(kind))
        return kind

    @model_validator(mode="after")
    def _changes_something(self) -> Effect:
        if not {"times", "plus"} & self.model_fields_set:
            raise ValueError("the effect changes nothing; give it times = 1.25, or plus = 0.02")
        return self

    def after(self, probability: float) -> float:
        """The probability after the action."""
        return min(1.0, max(0.0, probability * self.times + self.plus))


@dataclass(frozen=True)
class Gain:
    """The change of the expected margin by an action, before its cost.

    Attributes:
        amount: in currency.
        before, after: the probability without and with the action.
        basis: the amount that the change of the probability is multiplied by.
    """

    amount: float
    before: float
    after: float
    basis: DecisionReason


@dataclass(frozen=True)
class Formula:
    """The value of one kind of effect.

    Attributes:
        gain: of a customer, the effect, the margin and the discount; a reason where the customer lacks a
            score or a feature that the formula needs.
        features: the features that it reads.
    """

    gain: Callable[[CustomerContext, Effect, float, float], Gain | DecisionReason]
    features: tuple[str, ...] = ()


def propensity_gain(
    customer: CustomerContext, effect: Effect, margin: float, discount: float
) -> Gain | DecisionReason:
    """More customers order within the horizon of propensity.

    With p the propensity, p' the propensity after the effect and v the customer's average order value::

        p' × (m − d) × v  −  p × m × v
    """
    propensity, order = customer.scores.get("propensity"), customer.facts.get(ORDER_VALUE)
    if propensity is None or propensity.score is None:
        return _no_score("propensity", propensity)
    if order is None or not math.isfinite(order):
        return reason("no_order_value")
    before, after = propensity.score, effect.after(propensity.score)
    amount = (after * (margin - discount) - before * margin) * order
    return Gain(amount, before, after, reason("order_value", value=order, margin=margin, discount=discount))


def churn_gain(
    customer: CustomerContext, effect: Effect, margin: float, discount: float
) -> Gain | DecisionReason:
    """Fewer customers churn.

    With c the probability of churn, c' the same after the effect, V what a customer who stays brings within
    the horizon of clv, and s the share of V that falls within the horizon of churn::

        V = clv / max(1 − c, 0.05)        s = min(1, days of churn / days of clv)
        (c − c') × m × V  −  (1 − c') × d × s × V
    """
    churn, clv = customer.scores.get("churn"), customer.scores.get("clv")
    if churn is None or churn.score is None:
        return _no_score("churn", churn)
    if clv is None or clv.score is None:
        return _no_score("clv", clv)
    before, after = churn.score, effect.after(churn.score)
    stays = clv.score / max(1 - before, MIN_STAYING)
    share = (
        min(1.0, churn.horizon_days / clv.horizon_days) if churn.horizon_days and clv.horizon_days else 1.0
    )
    amount = ((before - after) * margin - (1 - after) * discount * share) * stays
    basis = reason("stays", value=stays, days=clv.horizon_days, margin=margin, discount=discount)
    return Gain(amount, before, after, basis)


def _no_score(model: str, score: ScoreInput | None) -> DecisionReason:
    return reason("no_score", model=model, reason=(score and score.reason) or "it was not asked for")


FORMULAS: Mapping[str, Formula] = {
    "propensity": Formula(propensity_gain, features=(ORDER_VALUE,)),
    "churn": Formula(churn_gain),
}


def gain_of(
    name: str, effect: Effect, customer: CustomerContext, margin: float, discount: float
) -> Gain | DecisionReason:
    """The gain of the action of that name for a customer; a reason where its value is unknown.

    Raises:
        PatronError: the effect is of a kind that has no formula.
    """
    formula = FORMULAS.get(effect.on)
    if formula is None:
        raise PatronError(f"action {name}: {unknown_kind(effect.on)}")
    return formula.gain(customer, effect, margin, discount)


def unknown_kind(kind: str) -> str:
    """The error message for an effect of a kind that has no formula."""
    return f"an effect cannot be on {kind!r}; it is on {' or '.join(FORMULAS)}"


def features_read() -> tuple[str, ...]:
    """The features that formulas read, without duplicates."""
    return tuple(dict.fromkeys(name for formula in FORMULAS.values() for name in formula.features))
