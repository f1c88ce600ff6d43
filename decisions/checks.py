"""The checks that an action passes before it is an option, in the order of the funnel.

:data:`CHECKS` is the chain. A check is one line of it: the stage it belongs to, and a pure function that
returns the reason for its refusal or None. The first refusal removes the action; its stage says where the
action left the funnel. What a check needs to know about the customer stands in
:class:`~decisions.context.CustomerContext`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from decisions.catalogue.actions import Action, Actions
from decisions.context import CustomerContext
from decisions.names.channels import channel_in_chinese
from decisions.offers import CATEGORY, DISCOUNT, PRODUCT, CustomerOffer
from decisions.policies import budgets, consent, limits, suppression
from decisions.policies.budgets import BudgetUse
from decisions.policies.send_time import planned_at
from decisions.reasons import DecisionReason, reason
from decisions.rules.evaluation import RuleInput, mismatch
from decisions.values.reasons import why_harmful, why_unknown
from records.contacts import SERVICE

Stage = Literal["eligible", "suitable", "consented", "within_limits", "within_budget"]
STAGES: tuple[Stage, ...] = ("eligible", "suitable", "consented", "within_limits", "within_budget")


@dataclass(frozen=True)
class PolicyRequest:
    """What is asked of the policy, apart from the customer.

    Attributes:
        day: the shop's day (days since 1970-01-01).
        channels: the requested channels; None for all.
        budget_use: what was used of budgets; None leaves them unchecked.
        expenses: by action, the money that it is expected to cost for the customer, discounts included.
    """

    actions: Actions
    day: int
    channels: Collection[str] | None = None
    budget_use: BudgetUse | None = None
    expenses: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ActionCheck:
    """A check of the chain.

    Attributes:
        stage: the stage of the funnel that an action reaches by passing all checks of it.
        refuse: why the action is not permitted for the customer; None if this check permits it.
    """

    stage: Stage
    refuse: Callable[[Action, CustomerContext, PolicyRequest], DecisionReason | None]


def refusal(
    action: Action, customer: CustomerContext, request: PolicyRequest
) -> tuple[Stage, DecisionReason] | None:
    """The first stage that the action does not reach, and why; None if every check permits it."""
    for check in CHECKS:
        if why := check.refuse(action, customer, request):
            return check.stage, why
    return None


def other_channel(
    action: Action, _customer: CustomerContext, request: PolicyRequest
) -> DecisionReason | None:
    """Refuse actions of channels that were not requested."""
    if request.channels is not None and action.channel not in request.channels:
        return reason("channel")
    return None


def outside_dates(
    action: Action, _customer: CustomerContext, request: PolicyRequest
) -> DecisionReason | None:
    """Refuse actions that have not started, or are over."""
    if action.is_early(request.day):
        return reason("not_started", start=str(action.start))
    return reason("over", end=str(action.end)) if action.is_over(request.day) else None


def other_customers(
    action: Action, customer: CustomerContext, request: PolicyRequest
) -> DecisionReason | None:
    """Refuse actions whose conditions and rule the customer does not match."""
    return mismatch(request.actions.targets[action.name], rule_input(customer, request.day))


def rule_input(customer: CustomerContext, day: int) -> RuleInput:
    """What rules read of a customer on a day of the shop."""
    facts_day = day if customer.facts_day is None else customer.facts_day
    return RuleInput(customer.facts, customer.scores, day, facts_day)


def value_unknown(action: Action, customer: CustomerContext, request: PolicyRequest) -> DecisionReason | None:
    """Refuse actions whose value is unknown because a score or a feature is missing."""
    return why_unknown(action, customer, request.actions)


def harmful(action: Action, customer: CustomerContext, _request: PolicyRequest) -> DecisionReason | None:
    """Refuse actions whose declared effect makes the customer's score worse for the shop."""
    return why_harmful(action, customer)


def offer_incomplete(
    action: Action, customer: CustomerContext, _request: PolicyRequest
) -> DecisionReason | None:
    """Refuse actions whose text has a placeholder for which the customer has no value."""
    needed, offer = action.placeholders, customer.offer or CustomerOffer()
    if DISCOUNT in needed and not action.discount:
        return reason("no_discount")
    if PRODUCT in needed and offer.product is None:
        return reason("no_product")
    category = action.effect.category or offer.category
    return reason("no_category") if CATEGORY in needed and category is None else None


def address_missing(
    action: Action, customer: CustomerContext, request: PolicyRequest
) -> DecisionReason | None:
    """Refuse actions of channels whose declared address the customer has not given."""
    feature = request.actions.channel(action.channel).address_feature
    if feature is None or customer.facts.get(feature) is not None:
        return None
    return reason("no_address", channel={"en": action.channel, "zh": channel_in_chinese(action.channel)})


def consent_missing(
    action: Action, customer: CustomerContext, request: PolicyRequest
) -> DecisionReason | None:
    """Refuse actions of channels by which the customer must not be contacted."""
    return consent.refusal(action.channel, request.actions.channel(action.channel), customer.consents)


def repeated_too_soon(
    action: Action, customer: CustomerContext, _request: PolicyRequest
) -> DecisionReason | None:
    """Refuse actions by which the customer had a contact within their ``repeat_after_days``."""
    days = customer.days_since.get(action.name)
    if days is not None and days < action.repeat_after_days:
        return reason("repeat", days=days, limit=action.repeat_after_days)
    return None


def suppressed(action: Action, customer: CustomerContext, request: PolicyRequest) -> DecisionReason | None:
    """Refuse marketing actions for customers who are left alone for a while."""
    actions = request.actions
    if customer.at is None or actions.channel(action.channel).purpose == SERVICE:
        return None
    if actions.suppress_open_complaints and (why := suppression.complaint(customer.facts)):
        return why
    return suppression.refusal(
        actions.suppressions, customer.contacts, customer.at,
        action=action.name, group=action.group, channel=action.channel,
    )  # fmt: skip


def contact_limit_reached(
    action: Action, customer: CustomerContext, request: PolicyRequest
) -> DecisionReason | None:
    """Refuse marketing actions where a contact limit permits no further contact of the customer."""
    channel = request.actions.channel(action.channel)
    if customer.at is None or channel.purpose == SERVICE:
        return None
    return limits.refusal(
        limits.effective(request.actions.limits), action.channel, action.group,
        customer.contacts, planned_at(action, channel, customer), customer.zone,
    )  # fmt: skip


def over_budget(action: Action, customer: CustomerContext, request: PolicyRequest) -> DecisionReason | None:
    """Refuse actions for which a budget, or the capacity of their channel, has too little left."""
    actions, use = request.actions, request.budget_use
    if use is None or customer.at is None:
        return None
    planned = planned_at(action, actions.channel(action.channel), customer)
    expense = request.expenses.get(action.name, action.cost)
    return budgets.refusal(actions.spending_limits, action, expense, use, planned)


CHECKS: tuple[ActionCheck, ...] = (
    ActionCheck("eligible", other_channel),
    ActionCheck("eligible", outside_dates),
    ActionCheck("eligible", other_customers),
    ActionCheck("suitable", value_unknown),
    ActionCheck("suitable", harmful),
    ActionCheck("suitable", offer_incomplete),
    ActionCheck("consented", address_missing),
    ActionCheck("consented", consent_missing),
    ActionCheck("within_limits", suppressed),
    ActionCheck("within_limits", repeated_too_soon),
    ActionCheck("within_limits", contact_limit_reached),
    ActionCheck("within_budget", over_budget),
)
