"""The policy's input about a customer: scores, features and earlier contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from decisions.offers import CustomerOffer
from features.live.consent_statements import ChannelConsent
from records.contacts import Contact


@dataclass(frozen=True)
class ScoreInput:
    """A model's score of a customer, or the reason why there is none."""

    score: float | None
    reason: str | None = None
    version: str | None = None
    horizon_days: int | None = None


@dataclass(frozen=True)
class CustomerContext:
    """A customer at the moment of a decision.

    Attributes:
        key: the customer's number, from which the random draws are made.
        scores: by model.
        facts: features by name; None where missing.
        days_since: days since the latest contact by each action, valid reservations included; actions without
            a contact are missing.
        contacts: the contacts of the customer, valid reservations included.
        consents: what the customer said about being contacted, by channel.
        at: the moment at which an action would be sent; None leaves contact limits unchecked.
        zone: the customer's time zone, else the shop's.
        in_holdout: whether the customer belongs to the lasting holdout.
        unknown: why the customer has no features; None if there are some.
        offer: what the placeholders of texts stand for; None where no text has one.
        best_times: by channel that sends at the best hour, the moment at which its actions are sent.
        preferences: by channel, how much more often than usual the customer responds on it.
        facts_day: the shop's day as of which features count days; None for the day of the decision.
    """

    key: int
    scores: Mapping[str, ScoreInput]
    facts: Mapping[str, Any]
    days_since: Mapping[str, int] = field(default_factory=dict)
    in_holdout: bool = False
    unknown: str | None = None
    contacts: Sequence[Contact] = ()
    consents: Mapping[str, ChannelConsent] = field(default_factory=dict)
    at: datetime | None = None
    zone: ZoneInfo = field(default_factory=partial(ZoneInfo, "UTC"))
    facts_day: int | None = None
    offer: CustomerOffer | None = None
    best_times: Mapping[str, datetime] = field(default_factory=dict)
    preferences: Mapping[str, float] = field(default_factory=dict)
