"""The ledger as a machine: decisions, plans, reports, consent, merges and restarts in any order.

No limit and no budget is ever exceeded, nobody is contacted without consent, a place that is given back is
free again, and a plan is released once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
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

from core.calendar import day_of
from core.home import Home
from decisions.catalogue.budgets import Budget, period_days, spending_limits
from decisions.catalogue.channels import Channel
from decisions.policies import budgets, consent
from decisions.policies.budgets import BudgetUse
from decisions.policies.limits import Limit, in_window, refusal
from events.identity import Identity, join, merged_keys
from features.live.consent_statements import ChannelConsent
from records import outcomes
from records.contacts import MARKETING, Contact, ContactReservation, ledger
from records.contacts.spending import Spent, SpentRow
from records.contacts.tables import spending, spent
from records.decision import Choice, Decision, DecisionRequest
from records.decisions import Choose, DecisionLog
from records.plans import releases
from records.tables import decisions

START = datetime(2026, 3, 28, 9, tzinfo=UTC)  # the day before clocks change in Berlin
ZONE = ZoneInfo("Europe/Berlin")
CHANNELS = ("email", "sms")
LIMITS = (Limit(max=1, per="day"), Limit(max=1, per="36h", channel="sms"), Limit(max=2, per="week"))
CUSTOMERS = ("a", "b", "c")
HOLD = timedelta(hours=10)
CONSENT = Channel(consent="required")
PRICE = 1.5
BUDGETS = spending_limits(
    [Budget(name="day", contacts=2, per="day"), Budget(name="week", money=4.0, per="week")],
    {"sms": Channel(capacity_per_day=1)},
)
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
        self.catalogue = "rules"
        self.plans: list[tuple[str, str, str, list[int]]] = []

    @initialize()
    def everybody_subscribes(self) -> None:
        Identity(self.home).assign(CUSTOMERS)
        self.consents = {name: ChannelConsent(subscribed=1) for name in CUSTOMERS}

    def teardown(self) -> None:
        self.log.close()
        self._folder.cleanup()

    @rule(name=st.sampled_from(CUSTOMERS), channel=st.sampled_from(CHANNELS))
    def decide(self, name: str, channel: str) -> None:
        """Decide as the policy does: consent, limits, then budgets."""
        keys = [*Identity(self.home).keys([name]).values()]
        digest = f"{self.catalogue} of {self.now:%H}"  # so that a day has many decisions
        request = replace(self._request(channel), rules=digest)
        for made in self.log.decide(keys, request, self._choose(channel), merged=merged_keys).values():
            self._remember(made)

    @rule(channel=st.sampled_from(CHANNELS))
    def make_plan(self, channel: str) -> None:
        """Plan a contact for everybody; nothing is used."""
        before = self.log.spent(self._request(channel)).rows
        keys = sorted(set(Identity(self.home).keys(CUSTOMERS).values()))
        self.plans.append((f"plan-{len(self.plans)}", channel, self.catalogue, keys))
        assert self.log.spent(self._request(channel)).rows == before

    @precondition(lambda self: self.plans)
    @rule(data=st.data(), batches=st.sampled_from([1, 3]))
    def release(self, data: st.DataObject, batches: int) -> None:
        """Release a plan in batches, unless it was released or the catalogue has changed."""
        plan_id, channel, catalogue, keys = data.draw(st.sampled_from(self.plans))
        with self.log.writing() as connection:
            if releases.is_released(connection, plan_id) or catalogue != self.catalogue:
                return
            assert releases.record(connection, plan_id, self.now, [])
            assert not releases.record(connection, plan_id, self.now, [])
        present = set(Identity(self.home).keys(CUSTOMERS).values())
        places = [place for place, key in enumerate(keys) if key in present]
        request = replace(self._request(channel), run_id=plan_id)
        for part in range(batches):
            now = places[part::batches]
            made = self.log.decide(
                [keys[place] for place in now], request, self._choose(channel), now, merged_keys, anew=True
            )
            for decision in made.values():
                self._remember(decision)
            self.restart()

    @rule()
    def change_catalogue(self) -> None:
        self.catalogue = f"rules {len(self.catalogue)}"

    def _request(self, channel: str) -> DecisionRequest:
        day = day_of(self.now, ZONE.key)
        days = period_days(BUDGETS, [day])
        return DecisionRequest(
            self.now, day, (channel,), self.catalogue, "api", spending_day=day, budget_days=days
        )

    def _choose(self, channel: str) -> Choose:
        day = day_of(self.now, ZONE.key)
        names = {key: name for name, key in Identity(self.home).keys(CUSTOMERS).items()}

        def choose(key: int, contacts: Sequence[Contact], spent: Spent) -> Choice:
            use = BudgetUse(spent.rows, day, day, ZONE.key)
            refused = consent.refusal(channel, CONSENT, {channel: self.consents[names[key]]})
            refused = refused or refusal(LIMITS, channel, None, contacts, self.now, ZONE)
            mail = SpentRow(day, "mail", None, channel, 1, PRICE)
            if refused or budgets.refusal(BUDGETS, mail, PRICE, use, self.now):
                return Choice("nothing", "best", 1.0, 0.0, 0.0, None, {"nothing": 1.0}, {}, {}, {})
            place = ContactReservation(
                "mail", None, channel, MARKETING, self.now, ZONE.key, self.now + HOLD, day, PRICE
            )
            return Choice("mail", "best", 1.0, 1.0, 0.1, channel, {"mail": 1.0}, {}, {}, {}, place)

        return choose

    def _remember(self, made: Decision) -> None:
        if made.choice.channel is not None:
            names = {key: name for name, key in Identity(self.home).keys(CUSTOMERS).items()}
            stated = self.consents[names[made.customer_key]]
            assert stated.subscribed > stated.unsubscribed
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

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        """By the sums, which are those of the decisions that count."""
        day = day_of(self.now, ZONE.key)
        use = BudgetUse(self.log.spent(self._request("sms")).rows, day, day, ZONE.key)
        for limit in BUDGETS:
            assert use.used(limit, day) <= limit.limit, limit
        counted = spending.c.state != "free"
        with self.log.reading() as connection:
            number = sa.select(sa.func.count()).select_from(spending).where(counted)
            total = sa.select(sa.func.coalesce(sa.func.sum(spent.c.contacts), 0))
            assert connection.execute(number).scalar() == connection.execute(total).scalar()

    @invariant()
    def a_plan_decides_once_for_a_customer(self) -> None:
        rows = sa.select(decisions.c.run_id, decisions.c.customer_key).where(decisions.c.run_id.is_not(None))
        with self.log.reading() as connection:
            made = [tuple(row) for row in connection.execute(rows)]
        assert len(made) == len(set(made))


@pytest.mark.parametrize(("kind", "steps"), [("sqlite", 25), ("postgresql", 20)])
def test_in_any_order_no_limit_and_no_budget_is_exceeded(
    kind: str, steps: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "postgresql":
        monkeypatch.setattr(ContactMachine, "database", request.getfixturevalue("postgres_address"))
    examples = 6 if kind == "sqlite" else 1
    run_state_machine_as_test(
        ContactMachine, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    )
