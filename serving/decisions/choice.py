"""A recommendation as the decision log stores it, with the reservation of the chosen action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from decisions.catalogue.actions import Actions
from decisions.context import CustomerContext
from decisions.policies.budgets import BudgetUse
from decisions.policies.send_time import planned_at
from decisions.policy import POLICY
from decisions.reasons import DecisionReason
from decisions.recommendation import Option, Recommendation
from records.contacts import ContactReservation
from records.decision import Choice


def choice_of(
    recommendation: Recommendation,
    known: CustomerContext,
    rules: Actions,
    budget_use: BudgetUse | None = None,
) -> Choice:
    """The choice of a recommendation, and what it rests on.

    Args:
        budget_use: the use at the moment of the decision, to which its own is added; None to add nothing.
    """
    chosen = recommendation.chosen
    assert chosen.value is not None
    permitted, reservation = (
        (chosen, *recommendation.runners_up),
        _reservation(chosen, known, rules, budget_use),
    )
    return Choice(
        chosen.action, recommendation.how, recommendation.probability,
        chosen.value, chosen.cost, chosen.channel,
        probabilities=dict(recommendation.probabilities),
        scores={name: asdict(scored) for name, scored in known.scores.items()},
        facts=dict(known.facts),
        reasons={
            "why": _plain(chosen.why),
            "runners_up": [_option(option) for option in recommendation.runners_up],
            "not_offered": {option.action: _plain(option.why) for option in recommendation.not_offered},
            "factors": {option.action: dict(option.factors) for option in permitted if option.factors},
            "send_at": reservation and reservation.at.isoformat(),
            "stages": {option.action: option.stage for option in recommendation.not_offered},
            "withheld": recommendation.withheld,
            "policy": POLICY,
            **({} if known.offer is None else {"offer": known.offer.fields()}),
        },
        reservation=reservation,
    )  # fmt: skip


def _reservation(
    chosen: Option, known: CustomerContext, rules: Actions, budget_use: BudgetUse | None
) -> ContactReservation | None:
    """What the chosen action reserves; None for doing nothing."""
    if chosen.channel is None or known.at is None:
        return None
    action = next(action for action in rules.actions if action.name == chosen.action)
    channel = rules.channel(action.channel)
    planned = planned_at(action, channel, known)
    return ContactReservation(
        action.name, action.group, action.channel, channel.purpose, planned, known.zone.key,
        planned + timedelta(hours=rules.reservation_hours),
        None if budget_use is None else budget_use.day_of(planned), chosen.expense,
    )  # fmt: skip


def _option(option: Option) -> dict[str, Any]:
    return {
        "action": option.action,
        "channel": option.channel,
        "cost": option.cost,
        "value": option.value,
        "why": _plain(option.why),
    }


def _plain(why: Sequence[DecisionReason]) -> list[list[Any]]:
    return [[reason.code, dict(reason.values)] for reason in why]
