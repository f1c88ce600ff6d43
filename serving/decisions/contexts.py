"""A customer as the policy needs it, from scores, features and contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from core.calendar import day_of
from decisions.catalogue.actions import Actions
from decisions.context import CustomerContext, ScoreInput
from decisions.offers import CustomerOffer
from decisions.policies.send_time import BEST_HOUR, best_time
from decisions.policies.suppression import COMPLAINTS
from decisions.policies.zones import zone_of
from decisions.values.categories import PROBABLE_CATEGORY
from decisions.values.valuation import features_of
from features.live.consents import ByChannel
from features.offline.habit_profiles import HabitProfiles
from records.contacts import Contact, days_since
from records.decision import DecisionRequest
from serving.scores.score import ScoredCustomer

Entry: TypeAlias = tuple[ScoredCustomer, dict[str, ScoreInput], dict[str, Any]]
"""A customer's scores and features, and the scores and facts of categories."""
FACTS = ("value_tier", "rfm_segment", "lifecycle_stage")
"""Features that are stored with a decision where the shop has them."""


def facts_of(rules: Actions) -> tuple[str, ...]:
    """The features that decisions by these rules read or store, without duplicates."""
    addresses = [c.address_feature for c in rules.channels.values() if c.address_feature is not None]
    others = (*features_of(rules), *addresses, *FACTS, COMPLAINTS, PROBABLE_CATEGORY)
    return tuple(dict.fromkeys([*rules.features, *others]))


def customer_context(
    key: int,
    scores: Mapping[str, ScoreInput],
    facts: Mapping[str, Any],
    contacts: Sequence[Contact],
    consents: ByChannel,
    question: DecisionRequest,
    rules: Actions,
    shop_zone: str,
    as_of: datetime | None,
    unknown: str | None = None,
    offer: CustomerOffer | None = None,
    habits: HabitProfiles | None = None,
) -> CustomerContext:
    """The context of a decision about a customer.

    Args:
        facts: features by name; those that the rules do not read are left out.
        as_of: the moment of the features; None if there are none, and ``unknown`` says why.
        offer: what the placeholders of texts stand for.
        habits: of the shop's customers; None leaves the best hour and the preferred channels unknown.
    """
    used = {name: facts[name] for name in facts_of(rules) if name in facts}
    zone = zone_of(facts, shop_zone)
    return CustomerContext(
        key, scores, used, days_since(contacts, question.day, shop_zone), unknown=unknown,
        contacts=contacts, consents=consents, at=question.at, zone=zone,
        facts_day=None if as_of is None else day_of(as_of, shop_zone), offer=offer,
        best_times=_best_times(key, question.at, zone, rules, habits),
        preferences={n: float(column[0]) for n, column in preferences_of([key], rules, habits).items()},
    )  # fmt: skip


def scored_context(
    key: int,
    scored: Entry,
    contacts: Sequence[Contact],
    consents: ByChannel,
    question: DecisionRequest,
    rules: Actions,
    shop_zone: str,
    habits: HabitProfiles | None,
) -> CustomerContext:
    """The context of a decision about a scored customer."""
    entry, category_scores, category_facts = scored
    models = entry.models
    scores = {
        name: ScoreInput(
            score.score, score.reason, score.version,
            models[name].manifest["horizon_days"] if name in models else None,
        )
        for name, score in entry.scores.items()
    }  # fmt: skip
    return customer_context(
        key, scores | category_scores, entry.facts | category_facts, contacts, consents, question, rules,
        shop_zone, entry.features_as_of, entry.reason, habits=habits,
    )  # fmt: skip


def _best_times(
    key: int, at: datetime, zone: ZoneInfo, rules: Actions, habits: HabitProfiles | None
) -> dict[str, datetime]:
    """By channel that sends at the best hour, the moment for a customer."""
    names = [name for name in rules.channel_names if rules.channel(name).send_time == BEST_HOUR]
    if habits is None or not names:
        return {}
    shares = habits.hours(key)
    return {name: best_time(at, shares, rules.channel(name).quiet_hours, zone) for name in names}


def preferences_of(
    keys: Sequence[int], rules: Actions, habits: HabitProfiles | None
) -> dict[str, NDArray[np.float64]]:
    """By channel of an action, the preferences of customers, where any are known."""
    if habits is None:
        return {}
    return {name: habits.preference(name, keys) for name in rules.channel_names if name in habits.preferences}
