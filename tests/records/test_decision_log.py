"""The decision log: one standing decision per request, which survives a killed process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from core.calendar import micros
from core.errors import PatronError
from core.home import Home
from records import outcomes, runs, tables
from records.contacts import MARKETING, Contact, ContactReservation, days_since
from records.decision import Choice, DecisionRequest
from records.decisions import Choose, DecisionLog
from records.job import SERVICE, Interrupted, JobRunning, Stopped
from records.job_worker import JobWorker
from records.jobs import write_job
from records.runs import DecisionRun, RunStore
from records.tables import decisions, run_rows

ROOT = Path(__file__).parents[2]
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = 19_844  # 2024-05-01
REQUEST = DecisionRequest(NOON, DAY, None, "digest", "api")
CHOICE = Choice(
    action="coupon", how="best", probability=0.9, expected_value=1 / 3, cost=0.1, channel="email",
    probabilities={"coupon": 0.9, "nothing": 0.1}, scores={"churn": {"version": "3", "score": 0.1 + 0.2}},
    facts={"country": "Österreich", "orders_total": 3, "newsletter": True, "gap": None},
    reasons={"why": [["brings", {"gain": 1.0}]]},
)  # fmt: skip


def coupon(_key: int, _contacts: Sequence[Contact], *_: object) -> Choice:
    return CHOICE


@pytest.fixture
def home(empty_home: Home) -> Home:
    return empty_home


@pytest.fixture
def log(home: Home) -> Iterator[DecisionLog]:
    with DecisionLog(home) as log:
        yield log


def count(log: DecisionLog) -> int:
    with log.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(decisions)).scalar_one())


def later(days: int, **changed: Any) -> DecisionRequest:
    return replace(REQUEST, at=NOON + timedelta(days=days), day=DAY + days, **changed)


# Decisions


def test_a_decision_survives_a_round_trip(home: Home, log: DecisionLog) -> None:
    made = log.decide([1, 2], REQUEST, coupon)
    assert set(made) == {1, 2}
    assert made[1].id != made[2].id
    assert (made[1].customer_key, made[1].question, made[1].choice) == (1, REQUEST, CHOICE)
    with DecisionLog(home) as other:
        assert other.salt == log.salt
        assert len(log.salt) == 32
        assert other.standing([1, 2, 3], REQUEST) == made
    with log.reading() as connection:
        remaining = sa.select(decisions.c.customer_key, decisions.c.probabilities, decisions.c.facts)
        rows = connection.execute(remaining.order_by(decisions.c.n)).all()
    assert rows[0] == (1, '{"coupon":0.9,"nothing":0.1}', rows[0][2])
    assert "Österreich" in rows[0][2]


def test_the_same_request_on_the_same_day_returns_the_same_decision(log: DecisionLog) -> None:
    first = log.decide([1], REQUEST, coupon)[1]

    def never(_key: int, _contacts: Sequence[Contact], *_: object) -> Choice:
        raise AssertionError("there is a standing decision")

    evening = replace(REQUEST, at=NOON + timedelta(hours=8), caller="cli")
    assert log.decide([1], evening, never) == {1: first}
    others = [later(1), replace(REQUEST, channels=("email",)), replace(REQUEST, rules="another")]
    assert log.standing([1], others[0]) == {}
    ids = {log.decide([1], other, coupon)[1].id for other in others}
    assert len(ids | {first.id}) == 4
    assert log.standing([1], REQUEST) == {1: first}
    assert log.standing([1], others[1])[1].question.channels == ("email",)


@pytest.mark.parametrize("kind", ["accepted", "rejected", "shown", "clicked", "converted"])
def test_a_decision_stands_until_it_is_accepted_or_rejected(kind: str, log: DecisionLog) -> None:
    first = log.decide([1], REQUEST, coupon)[1]
    outcomes.record(log, first.id, kind, None, NOON)
    second = log.decide([1], REQUEST, coupon)[1]
    assert (second.id == first.id) is (kind not in {"accepted", "rejected"})
    assert log.decide([1], REQUEST, coupon)[1].id == second.id


def test_days_are_counted_since_the_latest_contact_by_an_action(log: DecisionLog) -> None:
    seen: list[dict[str, int]] = []

    def choose(request: DecisionRequest, action: str | None) -> Choose:
        def watched(_key: int, contacts: Sequence[Contact], *_: object) -> Choice:
            seen.append(days_since(contacts, request.day, "UTC"))
            if action is None:
                return replace(CHOICE, action="nothing", channel=None)
            until = request.at + timedelta(hours=1)
            reserved = ContactReservation(action, None, "email", MARKETING, request.at, None, until)
            return replace(CHOICE, action=action, reservation=reserved)

        return watched

    def decide(key: int, request: DecisionRequest, action: str | None) -> None:
        decided = log.decide([key], request, choose(request, action))[key]
        outcomes.record(log, decided.id, "shown", None, request.at)

    for days, action in ((0, "coupon"), (2, None), (5, "call"), (9, "coupon"), (10, "coupon")):
        decide(1, later(days), action)
    assert seen == [{}, {"coupon": 2}, {"coupon": 5}, {"call": 4, "coupon": 9}, {"call": 5, "coupon": 1}]
    decide(2, later(10), "coupon")  # another customer's do not count
    decide(1, later(1), "coupon")  # nor does what lies ahead, where a clock was set back
    assert seen[5:] == [{}, {"coupon": 1}]


def test_a_failed_choice_is_rolled_back(log: DecisionLog) -> None:
    def fails_at_two(key: int, _contacts: Sequence[Contact], *_: object) -> Choice:
        if key == 2:
            raise ZeroDivisionError
        return CHOICE

    with pytest.raises(ZeroDivisionError):
        log.decide([1, 2], REQUEST, fails_at_two)
    assert log.standing([1, 2], REQUEST) == {}
    assert set(log.decide([1, 2], REQUEST, coupon)) == {1, 2}


def test_rules_are_stored_by_their_digest(log: DecisionLog) -> None:
    assert log.rules("digest") is None
    log.keep_rules("digest", "margin = 1")
    log.keep_rules("digest", "what it said first stays")
    assert log.rules("digest") == "margin = 1"


def test_concurrent_threads_and_connections_get_one_decision(home: Home) -> None:
    with DecisionLog(home) as one, DecisionLog(home) as other:
        barrier, made = threading.Barrier(8), []

        def ask(log: DecisionLog) -> None:
            barrier.wait()
            for start in range(0, 60, 20):
                made.append(log.decide(range(start, start + 20), REQUEST, coupon))

        threads = [threading.Thread(target=ask, args=(log,)) for log in (one, other) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 24
        for key in range(60):
            assert len({batch[key].id for batch in made if key in batch}) == 1
        assert one.standing(range(60), REQUEST) == {k: d for batch in made for k, d in batch.items()}
        assert count(one) == 60


CHILD = """
import sys
from pathlib import Path
from core.home import Home
from records.decisions import DecisionLog
sys.path.insert(0, "tests/records")
from test_decision_log import REQUEST, coupon

log = DecisionLog(Home(Path(sys.argv[1]), sys.argv[3] or None))
for start in range(0, 10**9, int(sys.argv[2])):
    for decision in log.decide(range(start, start + int(sys.argv[2])), REQUEST, coupon).values():
        print(decision.customer_key, decision.id, flush=True)
"""


def child(home: Home, batch: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home.path), str(batch), home.database or ""],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_returned_decisions_survive_a_killed_process(home: Home) -> None:
    killed = child(home, 3)
    assert killed.stdout is not None
    text = [killed.stdout.readline().split() for _ in range(200)]
    killed.send_signal(signal.SIGKILL)
    text += [line.split() for line in killed.stdout if line.endswith("\n")]
    assert killed.wait() == -signal.SIGKILL
    killed.stdout.close()
    with DecisionLog(home) as log:
        result = log.standing([int(key) for key, _ in text], REQUEST)
        assert {(str(key), decision.id) for key, decision in result.items()} == {(k, i) for k, i in text}
        assert count(log) % 3 == 0  # a batch is there as a whole or not at all
        assert count(log) >= len(text)


def test_concurrent_processes_get_one_decision(home: Home) -> None:
    children = [child(home, 1) for _ in range(2)]
    text = []
    for process in children:
        assert process.stdout is not None
        text.append(dict(process.stdout.readline().split() for _ in range(300)))
    for process in children:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert text[0] == text[1]


# Outcomes


def test_an_outcome_is_recorded_once_and_never_changed(log: DecisionLog) -> None:
    made = log.decide([7], REQUEST, coupon)[7]
    assert outcomes.record(log, made.id, "converted", 64.2, NOON) == (True, NOON)
    evening = NOON + timedelta(hours=6)
    assert outcomes.record(log, made.id, "converted", 64.2, evening) == (False, NOON)
    assert outcomes.record(log, made.id, "clicked", None, evening) == (True, evening)
    with pytest.raises(
        outcomes.ConflictingOutcome, match=r"came .* at 2024-05-01T12:00:00Z with the value 64.2"
    ):
        outcomes.record(log, made.id, "converted", 64.3, evening)
    with pytest.raises(outcomes.UnknownDecision, match="no such decision"):
        outcomes.record(log, "nobody", "clicked", None, NOON)
    columns = [tables.outcomes.c[name] for name in ("kind", "value", "customer_key")]
    with log.reading() as connection:
        rows = connection.execute(sa.select(*columns).order_by(tables.outcomes.c.kind)).all()
    assert rows == [("clicked", None, 7), ("converted", 64.2, 7)]


# Runs


def new_run(store: RunStore, count: int, **fields: Any) -> DecisionRun:
    """A run for the customers from 1 to ``count``, at noon."""
    defaults: dict[str, Any] = {
        "at": NOON, "segment": None, "origin": SERVICE, "caller": "api", "channels": None, "language": "en",
        "rules": "digest",
    }  # fmt: skip
    return store.create(DecisionRun(**defaults | fields), [np.arange(1, count + 1)])


def in_run(run: DecisionRun, **fields: Any) -> DecisionRequest:
    return replace(REQUEST, run_id=run.id, **fields)


def state(store: RunStore, run: DecisionRun) -> DecisionRun:
    result = store.find(run.id)
    assert result is not None
    return result


@pytest.fixture
def store(log: DecisionLog) -> RunStore:
    return RunStore(log)


def test_a_run_is_read_in_order_with_standing_decisions(log: DecisionLog, store: RunStore) -> None:
    stood = log.decide([3], REQUEST, coupon)[3]
    run = new_run(store, 6, segment="country:DE", language="zh", channels=("email", "post"))
    assert store.customers(run, 4, 25).tolist() == [5, 6]
    with store.execute(run):
        log.decide([1, 2, 3], in_run(run), coupon, [0, 1, 2])
        now = state(store, run)
        assert (now.status, now.done, now.total, now.segment) == ("running", 3, 6, "country:DE")
        nothing = replace(CHOICE, action="nothing", channel=None)
        log.decide([4, 5, 6], in_run(run), lambda *_: nothing, [3, 4, 5])
    now = state(store, run)
    assert (now.status, now.done, now.channels, now.language) == ("done", 6, ("email", "post"), "zh")
    assert (now.at, now.rules, now.caller, now.error) == (NOON, "digest", "api", None)
    pages = [runs.rows(log, run.id, start, 4) for start in (0, 4, 8)]
    assert [place for page in pages for place, _ in page] == list(range(6))
    assert [d.customer_key for page in pages for _, d in page] == [1, 2, 3, 4, 5, 6]
    assert pages[0][2][1] == stood
    assert pages[0][0][1].question.run_id == run.id
    assert runs.counts(log, run.id) == {"coupon": 3, "nothing": 3}
    assert store.find("nobody") is None


@pytest.mark.parametrize(
    ("raised", "status", "error"),
    [
        (Interrupted(), "interrupted", None),
        (KeyboardInterrupt(), "interrupted", None),
        (Stopped(), "stopped", None),
        (PatronError("the store is gone"), "failed", "the store is gone"),
        (ZeroDivisionError("C000001"), "failed", "unexpected ZeroDivisionError"),
    ],
)
def test_a_run_records_how_it_ended(
    raised: BaseException, status: str, error: str | None, store: RunStore
) -> None:
    run = new_run(store, 5)
    with suppress(type(raised)), store.execute(run):
        raise raised
    now = state(store, run)
    assert (now.status, now.error) == (status, error)


KILLED_RUN = """
import sys, time
from pathlib import Path
from core.home import Home
from records.decisions import DecisionLog
from records.runs import RunStore
sys.path.insert(0, "tests/records")
from test_decision_log import coupon, in_run, new_run

log = DecisionLog(Home(Path(sys.argv[1]), sys.argv[2] or None))
store = RunStore(log)
run = new_run(store, 100)
with store.execute(run):
    log.decide(range(1, 11), in_run(run), coupon, range(10))
    print(run.id, flush=True)
    time.sleep(600)
"""


def test_a_run_with_its_last_status_refuses_no_other(store: RunStore) -> None:
    run = new_run(store, 3)
    with store.execute(run):
        with pytest.raises(JobRunning):
            store.refuse_if_running()
        write_job(
            store.folder / run.id, replace(run, status="done")
        )  # as on exit, before the lock is released
        store.refuse_if_running()


def test_a_run_is_interrupted_once_its_process_is_killed(
    home: Home, log: DecisionLog, store: RunStore
) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN, str(home.path), home.database or ""],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert killed.stdout is not None
    run_id = killed.stdout.readline().strip()
    for _ in range(2):
        run = store.find(run_id)
        assert run is not None
        assert (run.status, run.done) == ("running", 10)
    with pytest.raises(JobRunning, match=f"the run {run_id} is running"):
        store.refuse_if_running()
    killed.kill()
    killed.wait()
    killed.stdout.close()
    for _ in range(2):
        run = store.find(run_id)
        assert run is not None
        assert (run.status, run.done, run.total) == ("interrupted", 10, 100)
    assert len(runs.rows(log, run_id, 0, 100)) == store.resume_at(run) == 10
    with pytest.raises(PatronError):  # a position has one decision
        log.decide([1], in_run(run), coupon, [9])
    assert state(store, run).done == 10


def test_only_so_many_runs_are_stored_and_their_decisions_stay(
    log: DecisionLog, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunStore, "max_jobs", 3)
    first = new_run(store, 1)
    made = []
    with store.execute(first):
        for day in range(5):
            made.append(new_run(store, 1))
            log.decide([1], replace(later(day), run_id=made[-1].id), coupon, [0])
    assert store.find(first.id) is not None  # it was running all the time
    assert [store.find(run.id) is not None for run in made] == [False, False, True, True, True]
    assert runs.rows(log, made[0].id, 0, 10) == []
    assert all(log.standing([1], later(day)) for day in range(5))


def test_runs_of_earlier_versions_are_readable_and_never_resumed(log: DecisionLog) -> None:
    made = log.decide([1, 2], REQUEST, coupon)
    row = {
        "at_us": micros(NOON), "segment": "country:DE", "channels": '["email"]', "language": "zh",
        "rules": "digest", "caller": "crm", "total": 2, "done": 2, "error": None,
    }  # fmt: skip
    ended = {"done": None, "running": None, "interrupted": None, "failed": "the store is gone"}
    ids = {status: uuid.uuid4().hex for status in ended}
    with log.writing() as connection:
        for status, error in ended.items():
            fields = {"id": ids[status], "status": status, "error": error}
            connection.execute(sa.insert(tables.runs), row | fields)
        numbers = connection.execute(sa.select(decisions.c.n).order_by(decisions.c.n)).scalars().all()
        listed = [{"run_id": ids["done"], "place": i, "decision": n} for i, n in enumerate(numbers)]
        connection.execute(sa.insert(run_rows), listed)
    log.home.logs.mkdir(parents=True, exist_ok=True)
    (log.home.logs / f"{ids['running']}.run").touch()  # the lock of a killed process
    for _ in range(2):  # moved once
        store = RunStore(log)
        run = store.find(ids["done"])
        assert run is not None
        assert (run.at, run.segment, run.channels, run.language) == (NOON, "country:DE", ("email",), "zh")
        assert (run.rules, run.caller, run.status, run.done) == ("digest", "crm", "done", 2)
        assert [d for _, d in runs.rows(log, run.id, 0, 10)] == [made[1], made[2]]
        failed = store.find(ids["failed"])
        assert failed is not None
        assert (failed.status, failed.error) == ("failed", "the store is gone")
        for status in ("running", "interrupted"):
            old = store.find(ids[status])
            assert old is not None
            assert (old.status, old.total) == ("interrupted", 2)
        assert len(store.list_jobs()) == 4
    resumed: list[str] = []
    JobWorker(store, lambda job, _: resumed.append(job.id)).resume()
    assert resumed == []
    assert list(log.home.logs.glob("*.run")) == []
    assert new_run(store, 1).id == store.list_jobs()[0].id
