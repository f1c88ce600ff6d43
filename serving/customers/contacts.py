"""The contacts of a customer: in the timeline, between the events of the lake, and in the portrait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from events.identity import merged_keys
from events.queries.timeline import KINDS, Event, Page, Position, Timeline
from records.contacts import Contact
from records.contacts.contact import ASSUMED, RESERVED
from records.contacts.history import ContactHistory
from records.decisions import DecisionLog
from serving.customers.timeline_schemas import CONTACT, CustomerContact

MAX_IN_PORTRAIT = 10


def page_with_contacts(
    timeline: Timeline,
    log: DecisionLog,
    customer_key: int,
    as_of: datetime,
    limit: int,
    below: Position | None,
    kinds: Sequence[str],
) -> Page:
    """The newest events and contacts of a customer.

    Planned contacts are left out. A contact that was reported after the first page was read is on a later
    page if it happened before what that page shows.

    Args:
        below: only what stands below this position. kinds: those of the timeline, and ``contact``.

    Raises:
        PatronError: a store is missing or cannot be read.
    """
    of_lake = [kind for kind in KINDS if kind in kinds]
    page = timeline.page(customer_key, as_of, limit, below, of_lake) if of_lake else Page((), None)
    if CONTACT not in kinds:
        return page
    start = below or Position(as_of, "", "")
    events = [*page.events]
    for contact in read_contacts(log, customer_key, as_of):
        position = Position(contact.at, CONTACT, contact.decision_id)
        if contact.kind != RESERVED and position < start:
            details = as_response(contact).model_dump(exclude={"time"})
            events.append(Event(position, details))
    events.sort(key=lambda event: event.position, reverse=True)
    more = len(events) > limit or page.end is not None
    shown = tuple(events[:limit])
    return Page(shown, shown[-1].position if more else None)


def newest_contacts(log: DecisionLog, customer_key: int, now: datetime) -> list[CustomerContact]:
    """The newest contacts of a customer, also planned ones, the latest first."""
    contacts = read_contacts(log, customer_key, now)
    contacts.sort(key=lambda contact: (contact.at, contact.decision_id), reverse=True)
    return [as_response(contact) for contact in contacts[:MAX_IN_PORTRAIT]]


def read_contacts(log: DecisionLog, customer_key: int, now: datetime) -> list[Contact]:
    """The contacts of a customer and of those who were merged into this one, valid reservations included.

    Decisions of earlier versions, of which nobody knows whether they were sent, are left out.
    """
    with log.reading() as connection:
        known = ContactHistory(connection, [customer_key], now, merged_keys).of(customer_key)
    return [contact for contact in known if contact.kind != ASSUMED]


def as_response(contact: Contact) -> CustomerContact:
    """A contact as a response has it."""
    return CustomerContact(
        time=contact.at, decision_id=contact.decision_id, action=contact.action, group=contact.group,
        channel=contact.channel, purpose=contact.purpose, state=contact.kind,
        outcomes=sorted(contact.outcomes),
    )  # fmt: skip
