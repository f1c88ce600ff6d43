"""Whom channels reach: for all customers at once as for each of them, over every kind of channel."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from core.calendar import micros
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from decisions.catalogue.actions import Actions
from decisions.catalogue.file import restore
from decisions.checks import PolicyRequest, address_missing
from decisions.context import CustomerContext
from decisions.everybody import Everybody
from decisions.policies import consent, suppression
from decisions.policies.reach import ChannelReach
from events import journal, lake
from events.identity import Identity, join, merged_keys
from events.journal import Message
from events.lake import compaction
from events.segment.translate import Place, translate
from features.live.consents import Consents
from records.contacts import ledger, tables
from records.tables import outcomes
from serving.decisions.contexts import facts_of

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
CUSTOMERS = [f"u{i}" for i in range(40)]
EVENTS = (
    "Subscribed", "Unsubscribed", "Email Marked as Spam", "Email Bounced", "Email Opened", "SMS Subscribed",
    "SMS Unsubscribed", "Push Notification Subscribed", "Push Notification Unsubscribed",
    "Push Notification Bounced", "Page Viewed",
)  # fmt: skip
CONSENTS = ("email", "sms", "push", "wechat", "post")
ACTIONS: dict[str, Any] = {
    "margin": 0.4,
    "exploration_share": 0.0,
    "suppress_open_complaints": True,
    "suppressions": [
        {"after": 2, "of": "ignored", "within_days": 20, "for_days": 10, "per": "channel"},
        {"after": 1, "of": "rejected", "within_days": 5, "for_days": 3, "per": "all"},
        {"after": 1, "of": "ignored", "within_days": 30, "for_days": 30, "per": "action"},
    ],
    "channels": {
        "email": {"consent": "required", "address": "email"},
        "sms": {"consent": "required"},
        "wechat": {"consent": "required"},
        "push": {},
        "post": {},
        "call": {"purpose": "service"},
    },
    "actions": [
        {"name": "mail", "channel": "email", "cost": 0.1, "effect": {"on": "propensity", "times": 1.1}},
        {"name": "leaflet", "channel": "leaflet", "cost": 0.1, "effect": {"on": "propensity", "times": 1.1}},
    ],
}


@pytest.fixture
def home(empty_home: Home) -> Home:
    """A shop whose customers said and received many things in a random order; two of them are one person."""
    empty_home.write_shop(Shop("live", "UTC", "EUR", Clock()))
    with empty_home.settings_file.open("a") as file:
        file.write('[traits.email]\nkind = "text"\nmeaning = "The address."\n')
    lake.write(empty_home, lake.connect().con, "UTC", {"source": "live"})
    draw, database = random.Random(7), Database(empty_home)
    messages: list[Message] = []
    for hour in range(300):
        at = START + timedelta(hours=hour)
        fields: dict[str, Any] = {"type": "track", "event": draw.choice(EVENTS)}
        if hour % 2:
            stated = draw.choice([True, False, None])
            fields = {"type": "identify", "traits": {"consent": {draw.choice(CONSENTS): stated}}}
        message = translate(fields | {"userId": draw.choice(CUSTOMERS)}, at, Place("UTC", "EUR"))
        assert isinstance(message, Message)
        messages.append(message)
    journal.append(database, messages[:200], compacted_seq=0)
    compaction.compact(empty_home, database)
    journal.append(database, messages[200:], compacted_seq=lake.current(empty_home).compacted_seq)
    Identity(empty_home).assign(CUSTOMERS)
    received, responses = [], []
    for number in range(150):
        channel = draw.choice(["email", "sms", "call"])
        purpose = "service" if channel == "call" else "marketing"
        at_us = micros(START + timedelta(hours=draw.randrange(300)))
        row = {"decision_id": f"d{number}", "customer_key": draw.randrange(1, 41), "at_us": at_us}
        received.append({"action": "a", "channel": channel, "kind": "sent", "purpose": purpose, **row})
        if number % 2:
            responses.append({"kind": draw.choice(["clicked", "rejected", "sent"]), **row})
    with database.writing() as connection:
        connection.execute(sa.insert(tables.contacts), received)
        connection.execute(sa.insert(outcomes), responses)
        join(connection, "u3", "u4", micros(START + timedelta(hours=290)), 1)
    return empty_home


def test_a_channel_reaches_those_whom_a_decision_may_contact(home: Home) -> None:
    actions, keys = Actions.model_validate(ACTIONS, context={}), list(range(1, 41))
    actions.channels["email"].find_address(home.traits())
    addresses = [None if key % 4 == 0 else f"u{key}@example.com" for key in keys]
    complaints = [None if key % 9 == 0 else key % 7 // 6 for key in keys]
    table = pa.table(
        {"customer_key": keys, "open_complaints": pa.array(complaints, pa.int64()), "trait_email": addresses}
    )
    refusals = dict.fromkeys(["consent", "address", "suppression", "complaint"], 0)
    for hours in (120, 301):
        now = START + timedelta(hours=hours)
        reached = ChannelReach(home, actions).of(Everybody(table, now, 0, 0, ()), now)
        assert [*reached] == sorted({*ACTIONS["channels"], "leaflet"})
        assert all(0 < reached[name].sum() < len(keys) for name in ("email", "sms", "push"))
        consents = Consents(home).of(keys, now)
        with Database(home).reading() as connection:
            groups = {key: [key, *merged_keys(connection, [key]).get(key, ())] for key in keys}
            of_key = {key: ledger.read(connection, group, now) for key, group in groups.items()}
        for (name, mask), place in product(reached.items(), range(len(keys))):
            channel, key = actions.channel(name), keys[place]
            action = actions.actions[0].model_copy(update={"channel": name})
            customer = CustomerContext(key, {}, {"trait_email": addresses[place]})
            no_address = address_missing(action, customer, PolicyRequest(actions, 0))
            whys: list[Any] = [consent.refusal(name, channel, consents[key]), no_address, None, None]
            if channel.purpose != "service":
                contacts = [contact for some in of_key[key].values() for contact in some]
                whys[2] = suppression.refusal(
                    actions.suppressions, contacts, now, action="none", group=None, channel=name
                )
                whys[3] = suppression.complaint({"open_complaints": complaints[place]})
            assert bool(mask[place]) == (whys == [None] * 4), (name, key, whys)
            for kind, why in zip(refusals, whys, strict=True):
                refusals[kind] += why is not None
    assert min(refusals.values()) >= 10, refusals


def test_decisions_read_the_address_of_a_channel(home: Home) -> None:
    content = json.dumps(ACTIONS)
    actions = restore(content, home)
    assert actions.channel("email").address_feature == "trait_email"
    assert "trait_email" in facts_of(actions)
    other = restore(content.replace('"address": "email"', '"address": "phone"'), home)
    assert other.channel("email").address_feature is None  # not declared
