"""Suppression: a customer who rejects, or who ignores, is left alone for a while.

``[[suppressions]]`` says after how many rejections or ignored contacts within how many days, and for how
many days. They are counted per action, per group, per channel or over all of them, and what is counted is
also what is suppressed. A contact is ignored if it was sent or shown at least 24 hours ago and brought no
outcome ``clicked``, ``accepted``, ``rejected`` or ``converted``. Service messages are neither counted nor
suppressed.

With ``suppress_open_complaints = true``, an open complaint suppresses all marketing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from core.calendar import micros
from decisions.reasons import DecisionReason, reason
from decisions.sections import TomlSection
from records.contacts.contact import RESERVED, SERVICE, Contact

COMPLAINTS = "open_complaints"
"""The feature that counts the complaints that are open."""
RESPONSES = frozenset({"clicked", "accepted", "rejected", "converted"})
TIME_TO_RESPOND = timedelta(hours=24)
DAY_US = 86_400_000_000
"""Microseconds of 24 hours."""


class Suppression(TomlSection):
    """A suppression.

    Attributes:
        after: so many rejections or ignored contacts.
        of: what is counted.
        within_days: by the latest of them, no earlier one counts that is older than this.
        for_days: from the latest of them on; 24 hours each.
        per: what is counted and suppressed together.
    """

    after: int = Field(ge=1, le=100, description="contacts, from 1 to 100")
    of: Literal["rejected", "ignored"]
    within_days: int = Field(ge=1, le=365, description="whole days, from 1 to 365")
    for_days: int = Field(ge=1, le=365, description="whole days, from 1 to 365")
    per: Literal["action", "group", "channel", "all"] = "all"

    def counts(self, contact: Contact, now: datetime) -> bool:
        """Whether a contact was rejected, or ignored."""
        if contact.purpose == SERVICE or contact.kind == RESERVED or contact.at > now:
            return False
        if self.of == "rejected":
            return "rejected" in contact.outcomes
        return contact.at + TIME_TO_RESPOND <= now and not contact.outcomes & RESPONSES

    def is_of(self, contact: Contact, action: str, group: str | None, channel: str) -> bool:
        """Whether a contact is counted for an action."""
        same = {
            "action": contact.action == action,
            "group": group is not None and contact.group == group,
            "channel": contact.channel == channel,
            "all": True,
        }
        return same[self.per]


def refusal(
    suppressions: Iterable[Suppression],
    contacts: Iterable[Contact],
    now: datetime,
    *,
    action: str,
    group: str | None,
    channel: str,
) -> DecisionReason | None:
    """Why a customer is left alone; None if no suppression holds."""
    contacts = list(contacts)
    for rule in suppressions:
        moments = sorted(
            c.at for c in contacts if rule.counts(c, now) and rule.is_of(c, action, group, channel)
        )
        for first, last in zip(moments, moments[rule.after - 1 :], strict=False):
            end = last + timedelta(days=rule.for_days)
            if last - first <= timedelta(days=rule.within_days) and now < end:
                return reason(f"suppressed_{rule.of}", count=rule.after, until=f"{end:%Y-%m-%d}")
    return None


def left_alone(
    suppressions: Iterable[Suppression], contacts: pa.Table, now: datetime, channel: str
) -> NDArray[np.int64]:
    """The customers whom suppressions of a channel, or of all marketing, leave alone; as :func:`refusal` says
    of one.

    Args:
        contacts: of all customers, see :func:`records.contacts.marketing.read_marketing`.
    """
    contacts = contacts.sort_by([("customer_key", "ascending"), ("at_us", "ascending")])
    keys, at_us = np.asarray(contacts["customer_key"]), np.asarray(contacts["at_us"])
    of_channel = np.asarray(pc.equal(contacts["channel"], channel), bool)
    rejected, responded = (np.asarray(contacts[name], bool) for name in ("rejected", "responded"))
    ignored = ~responded & (at_us <= micros(now - TIME_TO_RESPOND))
    suppressed = []
    for rule in suppressions:
        if rule.per not in ("channel", "all"):
            continue
        counted = (rejected if rule.of == "rejected" else ignored) & (at_us <= micros(now))
        counted &= of_channel if rule.per == "channel" else True
        who, moments = keys[counted], at_us[counted]
        first, last = slice(None, max(0, len(who) - rule.after + 1)), slice(rule.after - 1, None)
        near = moments[last] - moments[first] <= rule.within_days * DAY_US
        lasts = moments[last] > micros(now - timedelta(days=rule.for_days))
        suppressed.append(who[last][(who[last] == who[first]) & near & lasts])
    return np.unique(np.concatenate([np.empty(0, np.int64), *suppressed]))


def longest(suppressions: Iterable[Suppression]) -> timedelta:
    """The time before the present within which contacts can suppress something."""
    return timedelta(days=max((rule.within_days + rule.for_days for rule in suppressions), default=0))


def complaint(facts: Mapping[str, Any]) -> DecisionReason | None:
    """Why a customer with an open complaint is left alone; None without one."""
    count = facts.get(COMPLAINTS)
    return reason("open_complaint") if isinstance(count, int | float) and count > 0 else None
