"""Why an action has its value, or none, for a customer."""

from __future__ import annotations

import math

from decisions.catalogue.actions import NOTHING, Action, Actions
from decisions.context import CustomerContext
from decisions.names.channels import channel_in_chinese
from decisions.reasons import DecisionReason, reason
from decisions.values.categories import KIND, PROBABLE_CATEGORY
from decisions.values.formulas import MONTHLY_AMOUNT, ORDER_VALUE, formula_of
from decisions.values.valuation import ActionValues

_MISSING = {MONTHLY_AMOUNT: "no_monthly_amount", ORDER_VALUE: "no_order_value"}


def value_reasons(
    name: str, customer: CustomerContext, rules: Actions, values: ActionValues
) -> tuple[DecisionReason, ...]:
    """What the value of a permitted action consists of, the assumption first; empty for doing nothing.

    Args:
        values: of this customer alone.
    """
    if name == NOTHING:
        return ()
    row = next(i for i, action in enumerate(rules.actions) if action.name == name)
    action, days = rules.actions[row], rules.value_horizon_days
    formula = formula_of(name, action.effect)
    before = customer.scores[formula.model].score
    assert before is not None
    more = action.effect.after(before)
    gain = float(values.margin[row, 0] - values.discounts[row, 0])
    cost = float(action.cost + values.acceptance_cost[row, 0])
    reasons = [
        reason("effect", model=formula.model, before=before, after=more)
        if action.effect.on != KIND
        else reason("category_effect", category=_category(action, customer), before=before, after=more),
        reason(
            formula.basis, value=float(values.basis[row, 0]), days=days, margin=rules.margin,
            discount=action.discount,
        ),
        reason("brings_within", gain=gain, days=days, cost=cost),
    ]  # fmt: skip
    if rules.brought_forward_share and formula.improves > 0 and "brought_forward" not in rules.factors_off:
        reasons.append(reason("brought_forward", share=rules.brought_forward_share))
    preference = float(values.preference[row, 0])
    if preference != 1:
        reasons.append(
            reason(
                "channel_preference",
                channel={"en": action.channel, "zh": channel_in_chinese(action.channel)},
                factor=preference,
            )
        )
    if action.lever != 1 and "lever" not in rules.factors_off:
        reasons.append(reason("lever", lever=action.lever, priority=float(values.priority[row, 0])))
    return tuple(reasons)


def why_unknown(action: Action, customer: CustomerContext, rules: Actions) -> DecisionReason | None:
    """Why the value of an action is unknown for a customer; None if it is known.

    Raises:
        PatronError: the effect is of a kind that has no formula.
    """
    formula = formula_of(action.name, action.effect)
    for model in formula.models:
        score = customer.scores.get(model)
        if action.effect.on == KIND and (score is None or score.score is None):
            code = (score and score.reason) or "no_category_model"
            return reason(code, category=_category(action, customer))
        if score is None or score.score is None:
            return reason("no_score", model=model, reason=(score and score.reason) or "it was not asked for")
    for name in formula.features:
        value = customer.facts.get(name)
        if value is None or not math.isfinite(value):
            return reason(_MISSING.get(name, "no_category_amount"), category=_category(action, customer))
    if formula.needs_first_order_value and rules.first_order_value is None:
        return reason("no_first_order_value")
    return None


def why_harmful(action: Action, customer: CustomerContext) -> DecisionReason | None:
    """Why an action, by its declared effect, harms the shop with a customer; None if it does not.

    The score that the effect changes must be known.
    """
    formula = formula_of(action.name, action.effect)
    before = customer.scores[formula.model].score
    assert before is not None
    after = action.effect.after(before)
    if (after - before) * formula.improves < 0:
        return reason("harmful", model=action.effect.on, before=before, after=after)
    return None


def _category(action: Action, customer: CustomerContext) -> str:
    """The category of an effect on category propensity; empty if it is unknown."""
    return action.effect.category or str(customer.facts.get(PROBABLE_CATEGORY) or "")
