"""Formulas: what the assumed effect of an action is worth within the value horizon.

:data:`FORMULAS` maps each kind of effect, the ``on`` of ``actions.toml``, to its formula. All formulas answer
the same question, so actions on different models compare: by how much does the net margin of the shop change
within the next H days (``value_horizon_days``) when the customer is offered the action? They use

- m, the margin, and d, the discount, both shares of the price; the discount is paid on every order of a
  customer who was offered it while the offer lasts, also on orders that would have come anyway;
- h, the horizon of the model in days, for which the effect and the offer last; n = min(h, H);
- b, the share of the additional orders that are brought forward from later days of H
  (``brought_forward_share``) and therefore add no margin.

Horizons are converted by a constant hazard: a probability p of an event within h days is
1 − (1 − p)^(n / h) within n days. Amounts are converted by a constant rate: per day.

The formulas work on whole columns. Arrays have one row per action and one column per customer; NaN means
that a score or a feature is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import PatronError
from decisions.values.categories import KIND, amount_name, score_name
from decisions.values.hazards import hazard, orders_if_any, paid_days, within
from decisions.values.inputs import Column, ValueInputs

if TYPE_CHECKING:
    from decisions.values.effects import Effect

ORDER_VALUE = "average_order_value"
MONTHLY_AMOUNT = "subscription_monthly_amount"
MIN_STAYING = 0.05  # a customer who is all but lost is worth at most 20 times their clv, if they stay
DAYS_PER_MONTH = 365.25 / 12

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """What the formulas need of the catalogue.

    Attributes:
        horizon_days: H. margin: m. brought_forward: b.
        first_order_value: currency that a prospect's first order is worth; NaN if undeclared.
        times, plus, discount: of the actions, each with shape (actions, 1).
    """

    horizon_days: int
    margin: float
    brought_forward: float
    first_order_value: float
    times: Matrix
    plus: Matrix
    discount: Matrix

    def after(self, probability: Column) -> Matrix:
        """The probabilities after the actions, by action and customer."""
        return np.minimum(1.0, np.maximum(0.0, probability * self.times + self.plus))


@dataclass(frozen=True)
class Change:
    """What the actions change, by action and customer, before costs.

    Attributes:
        margin: the change of the margin by the effect, in currency, before discounts.
        discounts: the expected discounts, in currency.
        accepted: the probability that the customer uses the offer.
        basis: currency that the change of the probability is multiplied by, per customer.
    """

    margin: Matrix
    discounts: Matrix
    accepted: Matrix
    basis: Column


@dataclass(frozen=True)
class Formula:
    """The value of one kind of effect.

    Attributes:
        change: computes it. model: the model whose score the effect changes.
        improves: 1 if a higher score is better for the shop, -1 if a lower one is.
        basis: the code of the reason that says what :attr:`Change.basis` is.
        models, features: what it reads.
        needs_first_order_value: whether the catalogue must declare ``first_order_value``.
    """

    change: Callable[[ValueInputs, Terms], Change]
    model: str
    improves: int
    basis: str
    models: tuple[str, ...]
    features: tuple[str, ...] = ()
    needs_first_order_value: bool = False


def propensity_change(inputs: ValueInputs, terms: Terms) -> Change:
    """More customers order within the horizon of propensity.

    With p the propensity within n days, p' the same after the effect, v the average order value and k the
    expected orders of a customer who orders::

        k = −ln(1 − p) / p        margin = (p' − p) × (1 − b) × m × k × v        discounts = p' × d × k × v

    By a constant hazard, −ln(1 − p) orders are expected within n days; p counts as at most 0.95 in k.
    """
    return _more_orders(inputs, terms, "propensity", inputs.feature(ORDER_VALUE), repeated=True)


def leads_change(inputs: ValueInputs, terms: Terms) -> Change:
    """More prospects place a first order: the same with the declared value of a first order, and k = 1."""
    value = np.full(inputs.size, terms.first_order_value)
    return _more_orders(inputs, terms, "leads", value)


def category_change(inputs: ValueInputs, terms: Terms, category: str | None) -> Change:
    """More customers order of a category: the formula of propensity with the probability of such an order.

    v is what the customer's average order of the category brings from it. An order of the category counts as
    additional, so what replaces another purchase belongs to ``brought_forward_share``.
    """
    amount = inputs.feature(amount_name(category))
    return _more_orders(inputs, terms, score_name(category), amount, repeated=True)


def _more_orders(
    inputs: ValueInputs, terms: Terms, model: str, order: Column, *, repeated: bool = False
) -> Change:
    days = inputs.horizons.get(model, terms.horizon_days)
    window = min(days, terms.horizon_days)
    score = inputs.score(model)
    before, after = within(score, days, window), within(terms.after(score), days, window)
    if repeated:
        order = order * orders_if_any(before)
    more = after - before
    lasting = np.where(more > 0, more * (1 - terms.brought_forward), more)
    return Change(lasting * terms.margin * order, after * terms.discount * order, after, order)


def churn_change(inputs: ValueInputs, terms: Terms) -> Change:
    """Fewer customers churn.

    With c the probability of churn, c' the same after the effect, and r the revenue per day of a customer
    who stays, clv being the expected revenue within the horizon of clv::

        r = clv / max(1 − c, 0.05) / days of clv
        margin = (c − c') × m × r × H        discounts = (1 − c') × d × r × n
    """
    days = inputs.horizons.get("churn", terms.horizon_days)
    before, after = inputs.score("churn"), terms.after(inputs.score("churn"))
    stays = inputs.score("clv") / np.maximum(1 - before, MIN_STAYING)
    per_day = stays / inputs.horizons.get("clv", 365)
    basis = per_day * terms.horizon_days
    discounts = (1 - after) * terms.discount * per_day * min(days, terms.horizon_days)
    return Change((before - after) * terms.margin * basis, discounts, 1 - after, basis)


def subscription_churn_change(inputs: ValueInputs, terms: Terms) -> Change:
    """Fewer subscriptions end.

    A subscription ends with the hazard μ = −ln(1 − c) / h, so that it is paid for A(μ, t) = (1 − e^(−μt)) / μ
    of the next t days. The effect lasts h days. With r the amount per day::

        margin = m × r × (A(μ', n) + e^(−μ'n) × A(μ, H − n) − A(μ, H))        discounts = d × r × A(μ', n)
    """
    days = inputs.horizons.get("subscription_churn", terms.horizon_days)
    window = min(days, terms.horizon_days)
    score = inputs.score("subscription_churn")
    before, after = hazard(score, days), hazard(terms.after(score), days)
    per_day = inputs.feature(MONTHLY_AMOUNT) / DAYS_PER_MONTH
    during = paid_days(after, window)
    later = np.exp(-after * window) * paid_days(before, terms.horizon_days - window)
    more = during + later - paid_days(before, terms.horizon_days)
    return Change(
        more * terms.margin * per_day,
        during * terms.discount * per_day,
        1 - terms.after(score),
        per_day * terms.horizon_days,
    )


@cache
def category_formula(category: str | None) -> Formula:
    """The formula of effects on the propensity of a category; on the most probable one for None."""
    model = score_name(category)
    change = partial(category_change, category=category)
    return Formula(change, model, 1, "category_order", (model,), (amount_name(category),))


FORMULAS: Mapping[str, Formula] = {
    "propensity": Formula(
        propensity_change, "propensity", 1, "order_value", ("propensity",), (ORDER_VALUE,)
    ),
    "churn": Formula(churn_change, "churn", -1, "stays", ("churn", "clv")),
    "leads": Formula(leads_change, "leads", 1, "first_order", ("leads",), needs_first_order_value=True),
    "subscription_churn": Formula(
        subscription_churn_change, "subscription_churn", -1, "subscription", ("subscription_churn",),
        (MONTHLY_AMOUNT,),
    ),
    KIND: category_formula(None),
}  # fmt: skip


def formula_of(name: str, effect: Effect) -> Formula:
    """The formula of an effect of the action of that name.

    Raises:
        PatronError: there is none.
    """
    if effect.on not in FORMULAS:
        raise PatronError(f"action {name}: {unknown_kind(effect.on)}")
    return FORMULAS[effect.on] if effect.category is None else category_formula(effect.category)


def unknown_kind(kind: str) -> str:
    """The error message for an effect of a kind that has no formula."""
    *others, last = FORMULAS
    return f"an effect cannot be on {kind!r}; it is on {', '.join(others)} or {last}"


def features_read() -> tuple[str, ...]:
    """The features that formulas read, without duplicates and without those of named categories."""
    return tuple(dict.fromkeys(name for formula in FORMULAS.values() for name in formula.features))
