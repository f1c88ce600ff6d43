"""Decisions and plans of a shop as a machine: releases, reports, consent, merges and restarts in any order.

Two workers decide and release by the code of the service and of `patron plan --release`; only scores and
features are given. No limit and no budget is ever exceeded, nobody is contacted without consent, a place that
is given back is free again, and a plan is released once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
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
from core.shop import Clock, Shop
from core.storage.database import Database
from decisions.catalogue.actions import NOTHING
from decisions.catalogue.budgets import Budget, spending_limits
from decisions.catalogue.channels import Channel
from decisions.policies.budgets import BudgetUse
from decisions.policies.limits import Limit, in_window
from events import journal, lake
from events.identity import Identity, join, merged_keys
from events.journal import Message
from events.segment.translate import Place, translate
from records import outcomes, runs
from records.contacts import Contact, ledger
from records.contacts.spending import SpentRow
from records.contacts.tables import spending, spent
from records.decision import Decision
from records.decisions import DecisionLog
from records.job import COMMAND, Interrupted
from records.plans.store import SCHEMA, PlanJob, PlanStore
from records.runs import RunStore
from records.tables import decisions
from serving.decisions import runs as decision_runs
from serving.decisions.budgets.planned import NotReleasable
from serving.decisions.decider import Decider
from serving.plans.background import new_plan
from serving.plans.to_file import release_by
from serving.scores.score import Score, ScoredCustomer
from serving.scores.scorer import Scorer

START = datetime(2026, 3, 28, 9, tzinfo=UTC)  # the day before clocks change in Berlin
ZONE = ZoneInfo("Europe/Berlin")
CHANNELS = {"email": "mail", "sms": "message"}
"""By channel, the name of its action."""
LIMITS = (Limit(max=1, per="day"), Limit(max=1, per="36h", channel="sms"), Limit(max=2, per="week"))
CUSTOMERS = ("a", "b", "c")
A_WORKER, A_CHANNEL, A_CUSTOMER = map(st.sampled_from, ([0, 1], [*CHANNELS], CUSTOMERS))
BUDGETS = spending_limits(
    [Budget(name="day", contacts=2, per="day"), Budget(name="week", money=4.0, per="week")],
    {"sms": Channel(capacity_per_day=1)},
)
REPORTS = ("sent", "shown", "rejected")
UNSUBSCRIBED = {"email": "Unsubscribed", "sms": "SMS Unsubscribed"}
SUBSCRIBED = {"email": "Subscribed", "sms": "SMS Subscribed"}
ACTIONS = """
margin = {margin}
exploration_share = 0.0
reservation_hours = 10
limits = [
    {{ max = 1, per = "day" }}, {{ max = 1, per = "36h", channel = "sms" }}, {{ max = 2, per = "week" }},
]
budgets = [{{ name = "day", contacts = 2, per = "day" }}, {{ name = "week", money = 4.0, per = "week" }}]

[channels]
email = {{ consent = "required" }}
sms = {{ consent = "required", capacity_per_day = 1 }}

[[actions]]
name = "mail"
channel = "email"
cost = 1.5
effect = {{ on = "propensity", times = 2.0 }}

[[actions]]
name = "message"
channel = "sms"
cost = 1.5
effect = {{ on = "propensity", times = 2.0 }}
"""


class FixedScorer:
    """Scores every customer alike, without models and an online store."""

    log = None

    def __init__(self, home: Home) -> None:
        self.home, self.shop, self.identity = home, home.shop(), Identity(home)

    def score(self, customer_ids: Sequence[str], *_args: Any, **_options: Any) -> list[ScoredCustomer]:
        """The same score and features for each."""
        model = cast("Any", SimpleNamespace(manifest={"horizon_days": 30}))
        scores, values = {"propensity": Score(0.2, version="1")}, {"average_order_value": [100.0]}
        return [
            ScoredCustomer(
                name, True, None, self.shop.now(), scores, values=values, models={"propensity": model}
            )
            for name in customer_ids
        ]


class Worker:
    """A process that decides and releases."""

    def __init__(self, home: Home) -> None:
        self.log = DecisionLog(home)
        self.decider = Decider(cast("Scorer", FixedScorer(home)), self.log)
        self.runs = RunStore(self.log)


class ContactMachine(RuleBasedStateMachine):
    """Customers who are decided for, contacted, merged and who unsubscribe."""

    database: ClassVar[str | None] = None

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.now, self.merges, self.margin = START, 0, 0.4
        self.home = Home(Path(self._folder.name) / "home", self.database, wall=lambda: self.now)
        self.home.path.mkdir()
        self.home.write_shop(Shop("live", ZONE.key, "EUR", Clock()))
        lake.write(self.home, lake.connect().con, ZONE.key, {"source": "live"})
        self.home.actions.write_text(ACTIONS.format(margin=self.margin))
        self.workers = [Worker(self.home), Worker(self.home)]
        self.statements: dict[tuple[str, str], tuple[datetime, bool]] = {}
        self.open: list[Decision] = []
        self.plans: list[PlanJob] = []

    @property
    def log(self) -> DecisionLog:
        return self.workers[0].log

    @initialize()
    def everybody_subscribes(self) -> None:
        Identity(self.home).assign(CUSTOMERS)
        for channel in CHANNELS:
            for name in CUSTOMERS:
                self.change_consent(name, channel, leaves=False)

    def teardown(self) -> None:
        for worker in self.workers:
            worker.log.close()
        self._folder.cleanup()

    @rule(worker=A_WORKER, name=A_CUSTOMER, channel=A_CHANNEL)
    def decide(self, worker: int, name: str, channel: str) -> None:
        """Decide as the service does; other rules each hour, so that a day has many decisions."""
        decider = self.workers[worker].decider
        rules = decider.rules()
        question = decider.question(rules, [channel], "api")
        question = replace(question, rules=f"{question.rules} of {self.now:%H}")
        keys = Identity(self.home).keys([name])
        for made in decider.decide({key: name for name, key in keys.items()}, question, rules):
            self._remember(made)

    @rule(worker=A_WORKER, channel=A_CHANNEL)
    def make_plan(self, worker: int, channel: str) -> None:
        """Plan a contact for everybody; nothing is used."""
        decider, store = self.workers[worker].decider, PlanStore(self.home)
        before = self._used()
        keys = sorted(set(Identity(self.home).keys(CUSTOMERS).values()))
        job = new_plan(decider, None, [channel], "en", None, COMMAND, "cli")
        job = store.create(job, [np.array(keys, np.int64)])
        rows = [(key, CHANNELS[channel], 1.0, 1.5) for key in keys]
        columns = [list(column) for column in zip(*rows, strict=True)]
        with store.execute(job):
            store.save(job, pa.table(columns, schema=SCHEMA), {"prices": []})
        plan = store.find(job.id)
        assert plan is not None
        self.plans.append(plan)
        assert self._used() == before

    @rule(
        worker=A_WORKER,
        channel=A_CHANNEL,
        back=st.sampled_from([0, 1, 2]),
        batches=st.sampled_from([0, 1, 2, 9]),
    )
    def release(self, worker: int, channel: str, back: int, batches: int) -> None:
        """Release a new plan, or an earlier one again; the other worker decides meanwhile.

        The process may end after some batches of a customer; the next release resumes the run.
        """
        if not 0 < back <= len(self.plans):
            self.make_plan(worker, channel)
            back = 1
        plan = self.plans[-back]
        done, killed = 0, False

        def progress(_step: str, _share: float) -> None:
            nonlocal done, killed
            if done == batches:
                killed = True
                raise Interrupted
            done += 1
            self.decide(1 - worker, CUSTOMERS[done % 3], channel)

        releasing = self.workers[worker]
        earlier = releasing.runs.find(plan.id)
        try:
            run = release_by(releasing.decider, releasing.runs, plan, progress)
        except NotReleasable:
            changed = releasing.decider.rules().digest != plan.rules
            assert changed or day_of(plan.at, ZONE.key) != day_of(self.now, ZONE.key)
            return
        assert run.status == ("interrupted" if killed else "done")
        assert not done or earlier is None or earlier.status == "interrupted"
        known = {made.id for made in self.open}
        for _, made in runs.rows(releasing.log, plan.id, 0, len(CUSTOMERS), NOTHING):
            if made.question.at == self.now and made.id not in known:
                self._remember(made)
        self.restart(worker)

    @rule()
    def change_catalogue(self) -> None:
        self.margin = round(self.margin + 0.01, 2)
        self.home.actions.write_text(ACTIONS.format(margin=self.margin))

    def _remember(self, made: Decision) -> None:
        channel = made.choice.channel
        if channel is not None:
            keys = Identity(self.home).keys(CUSTOMERS)
            names = [name for name, key in keys.items() if key == made.customer_key]
            _, leaves = max(self.statements[name, channel] for name in names)
            assert not leaves
            self.open.append(made)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), kind=st.sampled_from(REPORTS))
    def report(self, data: st.DataObject, kind: str) -> None:
        """Report that a decision was sent, while its place is reserved: a later report may be too much."""
        made = data.draw(st.sampled_from(self.open))
        if made.id in {contact.decision_id for contact in self._contacts()}:
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

    @rule(name=A_CUSTOMER, channel=A_CHANNEL, leaves=st.booleans())
    def change_consent(self, name: str, channel: str, leaves: bool) -> None:
        """A customer subscribes or unsubscribes, by an event that arrives."""
        event = {"type": "track", "userId": name, "event": (UNSUBSCRIBED if leaves else SUBSCRIBED)[channel]}
        message = translate(event, self.now, Place(ZONE.key, "EUR"))
        assert isinstance(message, Message)
        journal.append(Database(self.home), [message], compacted_seq=lake.current(self.home).compacted_seq)
        self.statements[name, channel] = self.now, leaves
        self.now += timedelta(seconds=1)

    @rule(worker=A_WORKER)
    def restart(self, worker: int) -> None:
        """Another process goes on."""
        self.workers[worker].log.close()
        self.workers[worker] = Worker(self.home)

    @precondition(lambda self: not self.merges)
    @rule()
    def merge(self) -> None:
        """Two customers turn out to be one; what each had before may be too much together."""
        with self.log.database.writing() as connection:
            join(connection, "a", "b", int(self.now.timestamp() * 1e6), 1)
        self.merges, self.merged_at = 1, self.now

    def _used(self) -> list[SpentRow]:
        """What was used of budgets."""
        decider = self.workers[0].decider
        return self.log.spent(decider.question(decider.rules(), None, "api")).rows

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
        use = BudgetUse(self._used(), day, day, ZONE.key)
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
    monkeypatch.setattr(decision_runs, "BATCH", 1)
    if kind == "postgresql":
        monkeypatch.setattr(ContactMachine, "database", request.getfixturevalue("postgres_address"))
    examples = 10 if kind == "sqlite" else 1
    run_state_machine_as_test(
        ContactMachine, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    )
