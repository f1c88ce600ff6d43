"""The ledger of contacts: reservations, what they become, and limits under concurrent decisions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from core.home import Home
from decisions.policies.limits import DEFAULT, Limit, refusal
from events.identity import Identity, join, merged_keys
from records import outcomes, runs
from records.contacts import MARKETING, Contact, ContactReservation, ledger
from records.contacts.tables import contacts, reservations
from records.decision import Choice, Decision, DecisionRequest
from records.decisions import Choose, DecisionLog

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ZONE = ZoneInfo("UTC")
CHANNELS = [None, *((channel,) for channel in "abcdefghijklmn")]
"""Fifteen sets of channels."""


def request(at: datetime = NOON, channels: tuple[str, ...] | None = None) -> DecisionRequest:
    return DecisionRequest(at, (at - datetime(1970, 1, 1, tzinfo=UTC)).days, channels, "digest", "api")


def choice(action: str, channel: str | None, reservation: ContactReservation | None = None) -> Choice:
    return Choice(action, "best", 1.0, 1.0, 0.1, channel, {action: 1.0}, {}, {}, {"why": []}, reservation)


def within(limits: Sequence[Limit], at: datetime, channel: str = "email", hours: float = 24) -> Choose:
    """Choose a mail where the limits permit one, else nothing."""

    def choose(_key: int, known: Sequence[Contact], *_: object) -> Choice:
        if refusal(limits, channel, None, known, at, ZONE):
            return choice("nothing", None)
        until = at + timedelta(hours=hours)
        return choice("mail", channel, ContactReservation("mail", None, channel, MARKETING, at, "UTC", until))

    return choose


@pytest.fixture
def log(empty_home: Home) -> Iterator[DecisionLog]:
    with DecisionLog(empty_home) as log:
        yield log


def decide(
    log: DecisionLog, key: int = 1, at: datetime = NOON, channel: str = "email", hours: float = 24
) -> Decision:
    """A decision of a customer within the default limit, asked for one channel."""
    choose = within([DEFAULT], at, channel, hours)
    return log.decide([key], request(at, (channel,)), choose, merged=merged_keys)[key]


def kinds(log: DecisionLog, key: int = 1, at: datetime = NOON) -> list[str]:
    with log.reading() as connection:
        return sorted(contact.kind for contact in ledger.read(connection, [key], at)[key])


def test_three_channels_that_ask_separately_contact_once(log: DecisionLog) -> None:
    actions = [decide(log, channel=channel).choice.action for channel in ("email", "sms", "push")]
    assert actions == ["mail", "nothing", "nothing"]


@pytest.mark.parametrize("outcome", ["sent", "shown", "clicked", "accepted", "rejected"])
def test_a_reservation_becomes_one_contact(outcome: str, log: DecisionLog) -> None:
    made = decide(log)
    assert kinds(log) == ["reserved"]
    outcomes.record(log, made.id, outcome, None, NOON)
    assert kinds(log) == ["sent" if outcome == "sent" else "shown"]
    assert decide(log, at=NOON + timedelta(hours=11), channel="sms").choice.action == "nothing"


def test_a_reservation_that_was_not_used_is_free_again(log: DecisionLog) -> None:
    first = decide(log, hours=2)
    moments = [NOON + timedelta(hours=hours) for hours in (1.9, 2)]
    assert decide(log, at=moments[0], channel="sms").choice.action == "nothing"
    assert decide(log, at=moments[0]).id == first.id
    assert decide(log, at=moments[1]).id != first.id  # the first decision has lost its place
    assert decide(log, at=moments[1], channel="push").choice.action == "nothing"


def test_what_was_not_sent_is_given_back(log: DecisionLog) -> None:
    made = decide(log)
    outcomes.record(log, made.id, "not_sent", None, NOON)
    assert kinds(log) == []
    again = decide(log)
    assert (again.choice.action, again.id == made.id) == ("mail", False)


def test_a_contact_that_is_reported_late_counts_with_its_tags(log: DecisionLog) -> None:
    made = decide(log, hours=1)
    later = NOON + timedelta(hours=3)
    assert kinds(log, at=later) == []
    outcomes.record(log, made.id, "shown", None, later)
    with log.reading() as connection:
        (contact,) = ledger.read(connection, [1], later)[1]
    assert (contact.kind, contact.at, contact.channel, contact.zone) == ("shown", later, "email", "UTC")
    assert contact.outcomes == {"shown"}


def test_not_sent_does_not_undo_a_contact(log: DecisionLog) -> None:
    made = decide(log)
    outcomes.record(log, made.id, "sent", None, NOON)
    outcomes.record(log, made.id, "not_sent", None, NOON)
    assert kinds(log) == ["sent"]


def test_an_export_counts_from_when_it_was_sent(log: DecisionLog) -> None:
    made, sent = decide(log), NOON + timedelta(hours=20)
    with log.writing() as connection:
        for kind, at in (("exported", NOON), ("sent", sent), ("shown", sent + timedelta(hours=1))):
            ledger.record(connection, made.id, kind, at)
        ledger.record(connection, made.id, "exported", NOON)
    with log.reading() as connection:
        (contact,) = ledger.read(connection, [1], NOON)[1]
    assert (contact.kind, contact.at) == ("shown", sent)


def test_a_released_run_counts_as_exported(log: DecisionLog) -> None:
    def choose(key: int, known: Sequence[Contact], *_: object) -> Choice:
        return choice("nothing", None) if key == 3 else within([DEFAULT], NOON)(key, known)

    log.decide([1, 2, 3], replace(request(), run_id="r"), choose, [0, 1, 2])
    assert runs.release(log, "r", NOON) == 2
    assert runs.release(log, "r", NOON) == runs.release(log, "another", NOON) == 0
    assert [kinds(log, key, NOON + timedelta(days=9)) for key in (1, 2, 3)] == [
        ["exported"],
        ["exported"],
        [],
    ]


def test_an_undone_contact_is_a_reservation_again_while_its_time_lasts(log: DecisionLog) -> None:
    made = decide(log)
    outcomes.record(log, made.id, "sent", None, NOON)
    with log.writing() as connection:
        ledger.undo(connection, made.id, {})
    assert kinds(log) == ["reserved"]
    assert kinds(log, at=NOON + timedelta(days=1)) == []


def test_a_contact_whose_showing_is_undone_is_still_sent(log: DecisionLog) -> None:
    made = decide(log)
    outcomes.record(log, made.id, "sent", None, NOON)
    outcomes.record(log, made.id, "clicked", None, NOON + timedelta(hours=1))
    assert kinds(log) == ["shown"]
    assert outcomes.remove(log, made.id, "clicked")
    assert kinds(log) == ["sent"]


def test_a_release_is_undone_but_for_what_was_sent(log: DecisionLog) -> None:
    made = log.decide([1, 2], replace(request(), run_id="r"), within([DEFAULT], NOON), [0, 1])
    assert runs.release(log, "r", NOON) == 2
    outcomes.record(log, made[2].id, "sent", None, NOON)
    assert runs.undo_release(log, "r") == 1
    assert [kinds(log, key) for key in (1, 2)] == [["reserved"], ["sent"]]
    assert runs.undo_release(log, "r") == 0


def test_an_export_whose_sending_is_undone_is_exported_again(log: DecisionLog) -> None:
    made = log.decide([1], replace(request(), run_id="r"), within([DEFAULT], NOON), [0])[1]
    runs.release(log, "r", NOON)
    outcomes.record(log, made.id, "sent", None, NOON + timedelta(hours=9))
    outcomes.remove(log, made.id, "sent")
    with log.reading() as connection:
        (contact,) = ledger.read(connection, [1], NOON)[1]
    assert (contact.kind, contact.at) == ("exported", NOON)


def test_not_sent_takes_an_export_back(log: DecisionLog) -> None:
    made = log.decide([1], replace(request(), run_id="r"), within([DEFAULT], NOON), [0])[1]
    runs.release(log, "r", NOON)
    outcomes.record(log, made.id, "not_sent", None, NOON)
    assert kinds(log) == []
    assert decide(log).choice.action == "mail"


def test_doing_nothing_is_no_contact(log: DecisionLog) -> None:
    made = log.decide([1], request(), lambda *_: choice("nothing", None))[1]
    outcomes.record(log, made.id, "shown", None, NOON)
    assert kinds(log) == []


def test_a_merged_customer_has_the_contacts_of_both(log: DecisionLog) -> None:
    identity = Identity(log.home)
    identity.assign(["old", "new", "other"])
    keys = identity.keys(["old", "new", "other"])
    assert decide(log, keys["old"]).choice.action == "mail"
    with log.database.writing() as connection:
        into = join(connection, "old", "new", 0, 1)
    assert into == keys["new"]
    assert decide(log, into).choice.action == "nothing"
    assert decide(log, keys["other"]).choice.action == "mail"
    assert decide(log, into, at=NOON + timedelta(days=1)).choice.action == "mail"


def test_a_failed_transaction_reserves_nothing(log: DecisionLog) -> None:
    def fails(key: int, known: Sequence[Contact], *_: object) -> Choice:
        if key == 2:
            raise ZeroDivisionError
        return within([DEFAULT], NOON)(key, known)

    with pytest.raises(ZeroDivisionError):
        log.decide([1, 2], request(), fails)
    assert kinds(log) == []


def ask_all(log: DecisionLog, keys: Sequence[int], at: datetime) -> None:
    """Ask for the customers in fifteen sets of channels, before and after midnight, by eight threads."""

    def ask(number: int) -> None:
        channels = CHANNELS[number % len(CHANNELS)]
        moment = at + timedelta(minutes=20 * (number % 2))
        limits = [Limit(max=1, per="24h")]
        choose = within(limits, moment, channels[0] if channels else "email")
        log.decide(keys, request(moment, channels), choose)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(60)))


CHILD = """
import sys
from datetime import timedelta
from pathlib import Path
from core.home import Home
from records.decisions import DecisionLog
sys.path.insert(0, "tests/records")
from test_contacts import NOON, ask_all

with DecisionLog(Home(Path(sys.argv[1]), sys.argv[2] or None)) as log:
    print(flush=True)
    sys.stdin.readline()
    ask_all(log, range(1, 9), NOON + timedelta(hours=11, minutes=50))
"""


def test_a_thousand_requests_of_two_processes_over_midnight_exceed_no_limit(
    log: DecisionLog,
) -> None:
    """Two processes of eight threads ask for 8 customers in 15 sets of channels: 960 decisions."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(log.home.path), log.home.database or ""],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in children:
        assert process.stdout is not None
        process.stdout.readline()
    for process in children:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in children:
        process.communicate(timeout=120)
        assert process.returncode == 0
    with log.reading() as connection:
        reserved = Counter(connection.execute(sa.select(reservations.c.customer_key)).scalars())
        assert connection.execute(sa.select(contacts)).all() == []
    assert reserved == dict.fromkeys(range(1, 9), 1)


def test_a_batch_reads_its_own_reservations(log: DecisionLog) -> None:
    """A customer who is listed with one who was merged into them is contacted once."""
    merged = {2: [1]}
    made = log.decide([1, 2], request(), within([DEFAULT], NOON), merged=lambda *_: merged)
    assert [made[key].choice.action for key in (1, 2)] == ["mail", "nothing"]
    again = replace(request(), channels=("sms",))
    assert log.decide([2], again, within([DEFAULT], NOON), merged=lambda *_: merged)[2].choice.action == (
        "nothing"
    )
