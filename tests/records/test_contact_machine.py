"""The ledger as a machine: decisions, reports, consent, merges and restarts in any order.

No limit is ever exceeded, nobody is contacted without consent, and a place that is given back is free again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.home import Home
from decisions.catalogue.channels import Channel
from decisions.policies import consent
from decisions.policies.limits import Limit, in_window, refusal
from events.identity import Identity, join, merged_keys
from features.live.consents import ChannelConsent
from records import outcomes
from records.contacts import MARKETING, Contact, ContactReservation, ledger
from records.decision import Choice, Decision, DecisionRequest
from records.decisions import DecisionLog

START = datetime(2026, 3, 28, 9, tzinfo=UTC)  # the day before clocks change in Berlin
ZONE = ZoneInfo("Europe/Berlin")
CHANNELS = ("email", "sms")
LIMITS = (Limit(max=1, per="day"), Limit(max=1, per="36h", channel="sms"), Limit(max=2, per="week"))
CUSTOMERS = ("a", "b", "c")
HOLD = timedelta(hours=10)
CONSENT = Channel(consent="required")
REPORTS = ("sent", "shown", "rejected")


class ContactMachine(RuleBasedStateMachine):
    """Customers who are decided for, contacted, merged and who unsubscribe."""

    database: ClassVar[str | None] = None

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.home = Home(Path(self._folder.name) / "home", self.database)
        self.log = DecisionLog(self.home)
        self.now, self.merges = START, 0
        self.open: list[Decision] = []
        self.consents: dict[str, ChannelConsent] = {}

    @initialize()
    def everybody_subscribes(self) -> None:
        Identity(self.home).assign(CUSTOMERS)
        self.consents = {name: ChannelConsent(subscribed=1) for name in CUSTOMERS}

    def teardown(self) -> None:
        self.log.close()
        self._folder.cleanup()

    @rule(name=st.sampled_from(CUSTOMERS), channel=st.sampled_from(CHANNELS))
    def decide(self, name: str, channel: str) -> None:
        """Decide as the policy does: consent, then limits."""
        (key,) = Identity(self.home).keys([name]).values()

        def choose(_key: int, contacts: Sequence[Contact], *_: object) -> Choice:
            refused = consent.refusal(channel, CONSENT, {channel: self.consents[name]})
            if refused or refusal(LIMITS, channel, None, contacts, self.now, ZONE):
                return Choice("nothing", "best", 1.0, 0.0, 0.0, None, {"nothing": 1.0}, {}, {}, {})
            place = ContactReservation("mail", None, channel, MARKETING, self.now, ZONE.key, self.now + HOLD)
            return Choice("mail", "best", 1.0, 1.0, 0.1, channel, {"mail": 1.0}, {}, {}, {}, place)

        day = (self.now - datetime(1970, 1, 1, tzinfo=UTC)).days
        digest = f"rules of {self.now:%H}"  # so that a day has many decisions
        request = DecisionRequest(self.now, day, (channel,), digest, "api")
        made = self.log.decide([key], request, choose, merged=merged_keys)[key]
        if made.choice.channel is not None:
            assert self.consents[name].subscribed > self.consents[name].unsubscribed
            self.open.append(made)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), kind=st.sampled_from(REPORTS))
    def report(self, data: st.DataObject, kind: str) -> None:
        """Report that a decision was sent, while its place is reserved."""
        made = data.draw(st.sampled_from(self.open))
        if self.now < made.question.at + HOLD:
            outcomes.record(self.log, made.id, kind, None, made.question.at)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """What was not sent is usable again at once."""
        made = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        outcomes.record(self.log, made.id, "not_sent", None, self.now)
        assert made.id not in {c.decision_id for c in self._contacts() if c.kind == "reserved"}

    @rule(hours=st.sampled_from([0.5, 3, 10, 24]))
    def wait(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    @rule(name=st.sampled_from(CUSTOMERS), leaves=st.booleans())
    def change_consent(self, name: str, leaves: bool) -> None:
        at = int(self.now.timestamp() * 1e6)
        statement = "unsubscribed" if leaves else "subscribed"
        self.consents[name] = self.consents[name]._replace(**{statement: at})

    @rule()
    def restart(self) -> None:
        """Another process goes on."""
        self.log.close()
        self.log = DecisionLog(self.home)

    @precondition(lambda self: not self.merges)
    @rule()
    def merge(self) -> None:
        """Two customers turn out to be one; what each had before may be too much together."""
        with self.log.database.writing() as connection:
            join(connection, "a", "b", int(self.now.timestamp() * 1e6), 1)
        self.merges, self.merged_at = 1, self.now

    def _contacts(self) -> list[Contact]:
        keys = sorted(set(Identity(self.home).keys(CUSTOMERS).values()) | {1, 2, 3})
        with self.log.reading() as connection:
            return [c for some in ledger.read(connection, keys, self.now).values() for c in some]

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        identity = Identity(self.home)
        with self.log.reading() as connection:
            for key in set(identity.keys(CUSTOMERS).values()):
                members = [key, *merged_keys(connection, [key]).get(key, ())]
                by_key = ledger.read(connection, members, self.now)
                contacts = [c for member in members for c in by_key[member]]
                if len(members) > 1:  # two people may each have had one before
                    contacts = [c for c in contacts if c.at > self.merged_at]
                for limit in LIMITS:
                    counted = [c for c in contacts if limit.concerns(c.channel, c.group)]
                    for some in combinations(counted, limit.max + 1):
                        last = max(c.at for c in some)
                        assert not all(in_window(limit.per, c, last, ZONE) for c in some), limit


@pytest.mark.parametrize(("kind", "steps"), [("sqlite", 25), ("postgresql", 20)])
def test_in_any_order_no_limit_is_exceeded(
    kind: str, steps: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "postgresql":
        monkeypatch.setattr(ContactMachine, "database", request.getfixturevalue("postgres_address"))
    examples = 6 if kind == "sqlite" else 1
    run_state_machine_as_test(
        ContactMachine, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    )
