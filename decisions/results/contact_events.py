"""Contacts as events of the lake, so that features count them as of the moment when they were known.

Only contacts of channels with ``contacts_as_events``: where the program that sends messages reports them as
events itself, they would count twice. A contact is a message that was sent, under its decision's id; an
outcome ``clicked`` or ``accepted`` is a click on it. The events arrive when they are written here, so the
past of a feature never has a contact that was reported later. A contact that is taken back, or that turns
out to have happened at another moment, is undone by an event of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from core.calendar import day_and_hour_of, micros, moment
from core.home import Home
from core.storage.database import Database
from decisions.catalogue.actions import Actions
from decisions.results.from_events import named_decisions
from events import journal
from events.identity import Identity
from events.journal import Message
from events.lake import versions
from events.schema import Events
from events.taxonomy import OWN_CONTACTS
from events.warehouse import is_in_warehouse
from records.decisions import DecisionLog
from records.results.reading import read_sendings

SENT, CLICKED, UNDONE = OWN_CONTACTS
_KINDS = {SENT: "sent", CLICKED: "clicked", UNDONE: "bounced"}
"""The kind of each event; features do not count a message that bounced as sent."""


@dataclass(frozen=True)
class _ContactEvent:
    """An event of a decision; the same event is written once."""

    name: str
    decision_id: str
    at_us: int


@dataclass(frozen=True)
class _Receiver:
    """Whose event it is."""

    customer_key: int
    channel: str


def write_contact_events(
    home: Home, events: Events, log: DecisionLog, actions: Actions, person: Mapping[int, int], now: datetime
) -> int:
    """Write the events of contacts that are not in the lake yet, or not any more; returns how many are new.

    Nothing is written into a warehouse, whose own events say what was sent.

    Args:
        events: as known now. person: the key that a merged customer has now.
    """
    channels = [name for name, channel in actions.channels.items() if channel.contacts_as_events]
    if not channels or is_in_warehouse(home):
        return 0
    written = _written(events)
    wanted = _wanted(log, channels, named_decisions(events), now)
    new = {event: receiver for event, receiver in wanted.items() if event not in written}
    for event, receiver in written.items():
        if event.name == SENT and event not in wanted:
            new[_ContactEvent(UNDONE, event.decision_id, event.at_us)] = receiver
    shop, identity = home.shop(), Identity(home)
    ids = identity.ids(sorted({person.get(r.customer_key, r.customer_key) for r in new.values()}))
    messages = []
    for event, receiver in new.items():
        owner = ids.get(person.get(receiver.customer_key, receiver.customer_key))
        if owner is None:  # deleted since
            continue
        day, hour = day_and_hour_of(moment(event.at_us), shop.time_zone)
        row = [event.at_us, micros(now), day, hour, event.name, _KINDS[event.name], receiver.channel,
               event.decision_id, None, None, None, "{}"]  # fmt: skip
        name = f"contact:{event.name}:{event.decision_id}:{event.at_us}"
        messages.append(Message(name, now, owner, None, {"activities": [row]}))
    if not messages:
        return 0
    return journal.append(Database(home), messages, **versions.position(home)._asdict()).new


def _wanted(
    log: DecisionLog, channels: list[str], reported: frozenset[str], now: datetime
) -> dict[_ContactEvent, _Receiver]:
    """The events of the contacts of some channels, but of those decisions that events report themselves."""
    events = {}
    for sending in read_sendings(log, channels, now):
        if sending.decision_id in reported:
            continue
        receiver = _Receiver(sending.customer_key, sending.channel)
        events[_ContactEvent(SENT, sending.decision_id, sending.at_us)] = receiver
        if sending.clicked_us is not None:
            events[_ContactEvent(CLICKED, sending.decision_id, sending.clicked_us)] = receiver
    return events


def _written(events: Events) -> dict[_ContactEvent, _Receiver]:
    """The events in the lake that are not undone."""
    seen = events.activities
    own = seen.filter(seen.name.isin(OWN_CONTACTS), seen.kind.notnull(), seen.reference.notnull())
    frame = own.select("name", "reference", "timestamp", "customer_key", "channel").to_pandas()
    written: dict[_ContactEvent, _Receiver] = {}
    undone = set()
    for row in frame.itertuples():
        at_us = int(row.timestamp.value // 1000)
        if row.name == UNDONE:
            undone.add((row.reference, at_us))
        else:
            event = _ContactEvent(row.name, row.reference, at_us)
            written[event] = _Receiver(int(row.customer_key), row.channel)
    return {e: r for e, r in written.items() if e.name != SENT or (e.decision_id, e.at_us) not in undone}
