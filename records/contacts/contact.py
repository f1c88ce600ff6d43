"""A contact with a customer, and a reservation for one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from core.calendar import day_of

MARKETING, SERVICE = "marketing", "service"
"""Purposes of a contact: limits and opt-outs of marketing do not concern service messages."""
EXPORTED, SENT, SHOWN = "exported", "sent", "shown"
"""Kinds of contacts, in the order in which a decision becomes them."""
ASSUMED = "assumed"
"""The kind of decisions of earlier versions, of which it is unknown whether they were sent."""
RESERVED = "reserved"
"""The kind of a reservation that is valid, among contacts."""
MAX_AHEAD_DAYS = 2
"""Days by which the planned moment of a reservation may follow its decision. What is further ahead was
recorded before the clock was set back."""


@dataclass(frozen=True, slots=True)
class Contact:
    """An action that was sent, shown or exported, or is reserved for sending.

    Attributes:
        decision_id: the decision that chose it.
        group, channel, purpose: of the action, when it was decided.
        kind: ``exported``, ``sent``, ``shown``, ``assumed`` or ``reserved``.
        at: when it happened; of a reservation, when it is planned.
        zone: the customer's time zone at the decision; None if unknown.
        outcomes: the kinds of outcomes that were reported for the decision.
    """

    decision_id: str
    action: str
    group: str | None
    channel: str
    purpose: str
    kind: str
    at: datetime
    zone: str | None = None
    outcomes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ContactReservation:
    """A place within the limits, reserved for an action that was decided.

    Attributes:
        at: the planned moment. zone: the customer's time zone.
        until: from this moment on, the place is free again if nothing was sent.
        day: the shop's day of the planned moment, on which budgets count it; None if they do not.
        money: expected: the contact, its acceptance and discounts, in currency.
    """

    action: str
    group: str | None
    channel: str
    purpose: str
    at: datetime
    zone: str | None
    until: datetime
    day: int | None = None
    money: float = 0.0


def days_since(contacts: Iterable[Contact], day: int, zone: str) -> dict[str, int]:
    """The days from the latest contact by each action until the shop's ``day``; 0 for a planned one.

    Args:
        zone: the shop's time zone.
    """
    latest: dict[str, int] = {}
    for contact in contacts:
        contact_day = day_of(contact.at, zone)
        if contact_day <= day + MAX_AHEAD_DAYS:
            latest[contact.action] = max(contact_day, latest.get(contact.action, contact_day))
    return {action: max(0, day - last) for action, last in latest.items()}
