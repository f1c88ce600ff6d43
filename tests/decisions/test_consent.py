"""Consents per channel, from events and traits: the latest statement, as known at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from decisions.catalogue.channels import Channel
from decisions.policies import consent
from events import journal, lake
from events.identity import Identity
from events.journal import Message
from events.lake import compaction
from events.segment.translate import Place, translate
from features.live.consents import Consents

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
PLACE = Place("UTC", "EUR")
REQUIRED, NOT_NEEDED = Channel(consent="required"), Channel()
SERVICE = Channel(purpose="service")


@pytest.fixture
def home(empty_home: Home) -> Home:
    empty_home.write_shop(Shop("live", "UTC", "EUR", Clock()))
    lake.write(empty_home, lake.connect().con, "UTC", {"source": "live"})
    return empty_home


def send(home: Home, hours: float, event: str | None = None, user: str = "u", **fields: Any) -> None:
    """Store an event, or traits, as they arrive."""
    message = {"type": "track", "event": event} if event else {"type": "identify"}
    at = START + timedelta(hours=hours)
    parsed = translate(message | {"userId": user} | fields, at, PLACE)
    assert isinstance(parsed, Message)
    journal.append(Database(home), [parsed], compacted_seq=lake.current(home).compacted_seq)


def refusals(
    home: Home, hours: float, channel: str = "email", *rules: Channel, user: str = "u"
) -> list[str | None]:
    """Per rule the code of the reason why a customer must not be contacted, hours after the start."""
    (key,) = Identity(home).keys([user]).values()
    consents = Consents(home).of([key], START + timedelta(hours=hours))[key]
    whys = [consent.refusal(channel, rule, consents) for rule in rules or [NOT_NEEDED]]
    return [None if why is None else why.code for why in whys]


def refused(home: Home, hours: float, channel: str = "email", user: str = "u") -> str | None:
    """The code of the reason against marketing that needs no consent."""
    return refusals(home, hours, channel, user=user)[0]


STEPS: Sequence[tuple[str, dict[str, Any], str | None, str | None, str | None]] = [
    # what happens; then what refuses: consent required, not needed, a service message
    ("Page Viewed", {}, "not_subscribed", None, None),
    ("Subscribed", {}, None, None, None),
    ("Unsubscribed", {}, "unsubscribed", "unsubscribed", None),
    ("Email Subscribed", {}, None, None, None),
    ("", {"traits": {"newsletter": False}}, "unsubscribed", "unsubscribed", None),
    ("", {"traits": {"newsletter": "Ja"}}, None, None, None),
    ("", {"traits": {"consent": {"email": "no", "sms": True}}}, "unsubscribed", "unsubscribed", None),
    ("", {"traits": {"consent": {"email": None}}}, "not_subscribed", None, None),
    ("", {"traits": {"consent": {"email": True}}}, None, None, None),
    ("SMS Unsubscribed", {}, None, None, None),
    ("Email Bounced", {}, "bounced", "bounced", "bounced"),
    ("Email Sent", {}, "bounced", "bounced", "bounced"),
    ("Email Opened", {}, None, None, None),
    ("Email Marked as Spam", {}, "marked_as_spam", "marked_as_spam", "marked_as_spam"),
    ("Email Opened", {}, "marked_as_spam", "marked_as_spam", "marked_as_spam"),
    ("Subscribed", {}, None, None, None),
]


def test_the_latest_statement_is_valid_whether_it_is_in_the_journal_or_in_the_lake(home: Home) -> None:
    for hour, (event, fields, *_) in enumerate(STEPS):
        send(home, hour, event or None, **fields)
        if hour == len(STEPS) // 2:
            compaction.compact(home, Database(home))
    for hour, (*_, required, not_needed, service) in enumerate(STEPS):
        now = refusals(home, hour + 0.5, "email", REQUIRED, NOT_NEEDED, SERVICE)
        assert now == [required, not_needed, service], STEPS[hour]
    by_sms = [refusals(home, hour, "sms", REQUIRED) for hour in (6, 6.5, 9.5)]
    assert by_sms == [["not_subscribed"], [None], ["unsubscribed"]]
    assert refused(home, 20, "push") is None


def test_at_the_same_moment_the_refusal_is_valid(home: Home) -> None:
    for event in ("Unsubscribed", "Subscribed"):
        send(home, 1, event)
    assert refused(home, 2) == "unsubscribed"


def test_a_statement_counts_from_when_it_was_known(home: Home) -> None:
    send(home, 5, "Unsubscribed", timestamp=(START + timedelta(hours=1)).isoformat())
    assert refused(home, 4) is None
    assert refused(home, 5.1) == "unsubscribed"


def test_a_merged_customer_has_the_statements_of_both(home: Home) -> None:
    send(home, 1, "Unsubscribed", user="old")
    send(home, 2, "Subscribed")
    send(home, 3, "SMS Unsubscribed", user="old")
    assert refused(home, 4, user="u", channel="sms") is None
    alias = translate(
        {"type": "alias", "previousId": "old", "userId": "u"}, START + timedelta(hours=4), PLACE
    )
    assert isinstance(alias, Message)
    journal.append(Database(home), [alias], compacted_seq=0)
    assert refused(home, 5, channel="sms") == "unsubscribed"
    assert refused(home, 5) is None  # subscribed after the other unsubscribed


def test_reasons_read_as_sentences() -> None:
    why = consent.refusal("email", REQUIRED, {})
    assert why is not None
    assert why.words("en") == "not subscribed to email, which needs consent"
    assert why.words("zh") == "未订阅邮件（需已订阅）"


def test_a_statement_of_a_later_moment_in_the_lake_counts_from_then_on(home: Home) -> None:
    send(home, 5, "Unsubscribed")
    compaction.compact(home, Database(home))
    (key,) = Identity(home).keys(["u"]).values()
    consents = Consents(home)  # the same reader before and after, over one version of the lake

    def why(hours: float) -> str | None:
        known = consents.of([key], START + timedelta(hours=hours))[key]
        answer = consent.refusal("email", NOT_NEEDED, known)
        return None if answer is None else answer.code

    assert [why(1), why(4.9), why(5.1), why(6)] == [None, None, "unsubscribed", "unsubscribed"]
