"""What decisions use of budgets: reserved, used, given back, and never more than there is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.calendar import EPOCH
from core.home import Home
from decisions.catalogue.budgets import Budget, SpendingLimit, period_days, spending_limits
from decisions.catalogue.channels import Channel
from decisions.policies.budgets import BudgetUse, refusal
from records import outcomes, runs
from records.contacts import MARKETING, Contact, ContactReservation
from records.contacts.spending import Spent
from records.contacts.tables import spending, spent
from records.decision import Choice, Decision, DecisionRequest
from records.decisions import DecisionLog

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)  # a Monday
DAY = (NOON.date() - EPOCH).days
PRICE = 2.5
LIMITS = spending_limits(
    [Budget(name="may", money=25.0, per="month"), Budget(name="try", contacts=8, action="mail")], {}
)


class Mail:
    name, channel, group = "mail", "email", None


def request(at: datetime = NOON, limits: Sequence[SpendingLimit] = LIMITS) -> DecisionRequest:
    day = (at.date() - EPOCH).days
    days = period_days(limits, [day])
    return DecisionRequest(at, day, None, "digest", "api", spending_day=day, budget_days=days)


def decide(
    log: DecisionLog,
    keys: Sequence[int],
    at: datetime = NOON,
    limits: Sequence[SpendingLimit] = LIMITS,
    hours: float = 24,
    run_id: str | None = None,
) -> dict[int, Decision]:
    """A mail for each customer whom the budgets permit one."""

    def choose(_key: int, _contacts: Sequence[Contact], used: Spent) -> Choice:
        day = (at.date() - EPOCH).days
        if refusal(limits, Mail(), PRICE, BudgetUse(used.rows, day, day, "UTC"), at):
            return Choice("nothing", "best", 1.0, 0.0, 0.0, None, {"nothing": 1.0}, {}, {}, {})
        place = ContactReservation(
            "mail", None, "email", MARKETING, at, "UTC", at + timedelta(hours=hours), day, PRICE
        )
        return Choice("mail", "best", 1.0, 1.0, 0.1, "email", {"mail": 1.0}, {}, {}, {"why": []}, place)

    run_request = replace(request(at, limits), run_id=run_id)
    return log.decide(keys, run_request, choose, range(len(keys)) if run_id else ())


def used(
    log: DecisionLog, at: datetime = NOON, limits: Sequence[SpendingLimit] = LIMITS
) -> tuple[int, float]:
    """Contacts and money, as a preview reads them, and as the next decision does."""
    rows = log.spent(request(at)).rows
    previewed = sum(row.contacts for row in rows), sum(row.money for row in rows)
    with log.writing() as connection:
        decided = Spent(connection, at, request(at).budget_days).rows
    assert previewed == (sum(row.contacts for row in decided), sum(row.money for row in decided))
    return previewed


@pytest.fixture
def log(empty_home: Home) -> Iterator[DecisionLog]:
    with DecisionLog(empty_home) as log:
        yield log


def actions(made: dict[int, Decision]) -> list[str]:
    return [decision.choice.action for decision in made.values()]


def test_contacts_and_money_end_where_the_budget_ends(log: DecisionLog) -> None:
    made = decide(log, range(1, 13))
    assert actions(made) == ["mail"] * 8 + ["nothing"] * 4  # 8 contacts, before 25 of money are used
    assert used(log) == (8, 20.0)
    made = decide(log, range(21, 25), NOON + timedelta(hours=1), LIMITS[:1])
    assert actions(made) == ["mail", "mail", "nothing", "nothing"]  # 25 of money


def test_what_was_not_sent_is_usable_again_and_what_was_sent_is_not(log: DecisionLog) -> None:
    made = list(decide(log, range(1, 9), hours=2).values())
    outcomes.record(log, made[0].id, "not_sent", None, NOON)
    outcomes.record(log, made[1].id, "sent", None, NOON)
    assert used(log) == (7, 17.5)
    later = NOON + timedelta(hours=2)
    assert used(log, later) == (1, 2.5)
    assert actions(decide(log, range(11, 20), later)) == ["mail"] * 7 + ["nothing"] * 2


def test_a_late_report_counts_although_the_reservation_was_over(log: DecisionLog) -> None:
    (made,) = decide(log, [1], hours=1).values()
    later = NOON + timedelta(hours=3)
    assert used(log, later) == (0, 0)
    outcomes.record(log, made.id, "shown", None, later)
    assert used(log, later) == (1, 2.5)
    outcomes.remove(log, made.id, "shown")
    assert used(log, later) == (0, 0)


def test_a_released_run_uses_what_it_reserved(log: DecisionLog) -> None:
    decide(log, range(1, 5), hours=1, run_id="r")
    later = NOON + timedelta(hours=3)
    assert used(log, later) == (0, 0)
    assert runs.release(log, "r", later) == 4
    assert used(log, later) == (4, 10.0)


PERIODS = [
    ("day", 1, True), ("week", 6, False), ("week", 7, True), ("month", 27, False), ("month", 28, True),
    (None, 300, False),
]  # fmt: skip


@pytest.mark.parametrize(("per", "days", "open_again"), PERIODS)
def test_a_period_begins_anew(log: DecisionLog, per: str | None, days: int, open_again: bool) -> None:
    limits = spending_limits([Budget(name="b", contacts=1, per=per)], {})  # type: ignore[arg-type]
    made = list(decide(log, [1], limits=limits).values())
    outcomes.record(log, made[0].id, "sent", None, NOON)
    later = decide(log, [2], NOON + timedelta(days=days), limits)
    assert actions(later) == ["mail" if open_again else "nothing"]


def test_a_budget_counts_from_its_start_on(log: DecisionLog) -> None:
    made = list(decide(log, [1], limits=()).values())
    outcomes.record(log, made[0].id, "sent", None, NOON)
    tomorrow = NOON + timedelta(days=1)
    starts = ((None, "nothing"), (date(2026, 5, 4), "nothing"), (date(2026, 5, 5), "mail"))
    for key, (start, action) in enumerate(starts, start=2):
        limits = spending_limits([Budget(name="b", contacts=1, start=start)], {})
        assert actions(decide(log, [key], tomorrow, limits)) == [action]


def test_a_budget_of_zero_permits_nothing_that_costs(log: DecisionLog) -> None:
    for budget in (Budget(name="b", money=0.0), Budget(name="b", contacts=0)):
        assert actions(decide(log, [1], limits=spending_limits([budget], {}))) == ["nothing"]
    channels = {"email": Channel(capacity_per_day=0)}
    assert actions(decide(log, [2], limits=spending_limits([], channels))) == ["nothing"]


def test_the_sums_are_those_of_the_decisions(log: DecisionLog) -> None:
    for number in range(3):
        made = decide(log, range(1 + 3 * number, 4 + 3 * number), NOON + timedelta(hours=number), hours=1.5)
        for decision in list(made.values())[:number]:
            outcomes.record(log, decision.id, ["sent", "not_sent"][number - 1], None, NOON)
    with log.writing() as connection:
        Spent(connection, NOON + timedelta(hours=2), None)
        counted = spending.c.state != "free"
        money = sa.select(sa.func.count(), sa.func.sum(spending.c.money_micros)).where(counted)
        sums = sa.select(sa.func.sum(spent.c.contacts), sa.func.sum(spent.c.money_micros))
        assert tuple(connection.execute(money).one()) == tuple(connection.execute(sums).one())


def test_a_failed_transaction_uses_nothing(log: DecisionLog) -> None:
    def fails(_key: int, _contacts: Sequence[Contact], _used: Spent) -> Choice:
        raise ZeroDivisionError

    decide(log, [1])
    with pytest.raises(ZeroDivisionError):
        log.decide([2], request(), fails)
    assert used(log) == (1, 2.5)


CHILD = """
import sys
from pathlib import Path
from core.home import Home
from records.decisions import DecisionLog
sys.path.insert(0, "tests/records")
from test_spending import spend_all

with DecisionLog(Home(Path(sys.argv[1]), sys.argv[2] or None)) as log:
    print(flush=True)
    sys.stdin.readline()
    spend_all(log, int(sys.argv[3]))
"""


def spend_all(log: DecisionLog, first: int) -> None:
    """Decide for 120 customers in eight threads; each third place is given back, each third is used."""

    def ask(start: int) -> None:
        made = list(decide(log, range(start, start + 4)).values())
        assert sum(row.contacts for row in log.spent(request()).rows) <= 8
        for decision, kind in zip(made, ("not_sent", "sent"), strict=False):
            if decision.choice.action == "mail":
                outcomes.record(log, decision.id, kind, None, NOON)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(first, first + 120, 4)))


def test_two_processes_never_use_more_than_there_is(log: DecisionLog) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(log.home.path), log.home.database or "", str(first)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        for first in (1, 1001)
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
    contacts, money = used(log)
    with log.reading() as connection:
        states = connection.execute(sa.select(spending.c.state)).scalars().all()
    assert sum(state != "free" for state in states) == contacts <= 8
    assert money == contacts * PRICE
    assert len(states) > 8  # places that were given back were used by others
