"""The log of decisions: one standing decision per question, kept whatever happens to the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import PatronError
from core.home import Home
from records import outcomes, runs
from records.decisions import Choice, DecisionLog, Question, decisions
from records.decisions import outcomes as log_outcomes

ROOT = Path(__file__).parents[2]
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = 19_844  # 2024-05-01
ASKED = Question(NOON, DAY, None, "digest", "api")
CHOICE = Choice(
    action="coupon", how="best", probability=0.9, expected_value=1 / 3, cost=0.1, channel="email",
    probabilities={"coupon": 0.9, "nothing": 0.1}, scores={"churn": {"version": "3", "score": 0.1 + 0.2}},
    facts={"country": "Österreich", "orders_total": 3, "newsletter": True, "gap": None},
    reasons={"why": [["brings", {"gain": 1.0}]]},
)  # fmt: skip


def coupon(_key: int, _days_since: Mapping[str, int]) -> Choice:
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


def later(days: int, **changed: Any) -> Question:
    return replace(ASKED, at=NOON + timedelta(days=days), day=DAY + days, **changed)


# Decisions


def test_what_was_decided_is_read_as_it_was(home: Home, log: DecisionLog) -> None:
    made = log.decide([1, 2], ASKED, coupon)
    assert set(made) == {1, 2}
    assert made[1].id != made[2].id
    assert (made[1].customer_key, made[1].question, made[1].choice) == (1, ASKED, CHOICE)
    with DecisionLog(home) as other:
        assert other.salt == log.salt
        assert len(log.salt) == 32
        assert other.standing([1, 2, 3], ASKED) == made
    with log.reading() as connection:
        kept = sa.select(decisions.c.customer_key, decisions.c.probabilities, decisions.c.facts)
        rows = connection.execute(kept.order_by(decisions.c.n)).all()
    assert rows[0] == (1, '{"coupon":0.9,"nothing":0.1}', rows[0][2])
    assert "Österreich" in rows[0][2]


def test_a_question_asked_again_on_the_same_day_has_the_same_answer(log: DecisionLog) -> None:
    first = log.decide([1], ASKED, coupon)[1]

    def never(_key: int, _days_since: Mapping[str, int]) -> Choice:
        raise AssertionError("there is a standing decision")

    evening = replace(ASKED, at=NOON + timedelta(hours=8), caller="cli")
    assert log.decide([1], evening, never) == {1: first}
    others = [later(1), replace(ASKED, channels=("email",)), replace(ASKED, rules="another")]
    assert log.standing([1], others[0]) == {}
    ids = {log.decide([1], other, coupon)[1].id for other in others}
    assert len(ids | {first.id}) == 4
    assert log.standing([1], ASKED) == {1: first}
    assert log.standing([1], others[1])[1].question.channels == ("email",)


@pytest.mark.parametrize("kind", ["accepted", "rejected", "shown", "clicked", "converted"])
def test_a_decision_stands_until_it_is_accepted_or_rejected(kind: str, log: DecisionLog) -> None:
    first = log.decide([1], ASKED, coupon)[1]
    outcomes.record(log, first.id, kind, None, NOON)
    second = log.decide([1], ASKED, coupon)[1]
    assert (second.id == first.id) is (kind not in {"accepted", "rejected"})
    assert log.decide([1], ASKED, coupon)[1].id == second.id


def test_days_are_counted_since_an_action_was_last_chosen(log: DecisionLog) -> None:
    seen: list[dict[str, int]] = []

    def watched(choice: Choice) -> Callable[[int, Mapping[str, int]], Choice]:
        def choose(_key: int, days_since: Mapping[str, int]) -> Choice:
            seen.append(dict(days_since))
            return choice

        return choose

    nothing = replace(CHOICE, action="nothing", channel=None)
    call = replace(CHOICE, action="call", channel="phone")
    for days, choice in ((0, CHOICE), (2, nothing), (5, call), (9, CHOICE), (10, CHOICE)):
        log.decide([1], later(days), watched(choice))
    assert seen == [{}, {"coupon": 2}, {"coupon": 5}, {"call": 4, "coupon": 9}, {"call": 5, "coupon": 1}]
    log.decide([2], later(10), watched(CHOICE))  # another customer's do not count
    log.decide([1], later(1), watched(CHOICE))  # nor does what lies ahead, where a clock was set back
    assert seen[5:] == [{}, {"coupon": 1}]


def test_a_choice_that_fails_leaves_nothing_behind(log: DecisionLog) -> None:
    def fails_at_two(key: int, _days_since: Mapping[str, int]) -> Choice:
        if key == 2:
            raise ZeroDivisionError
        return CHOICE

    with pytest.raises(ZeroDivisionError):
        log.decide([1, 2], ASKED, fails_at_two)
    assert log.standing([1, 2], ASKED) == {}
    assert set(log.decide([1, 2], ASKED, coupon)) == {1, 2}


def test_rules_are_kept_by_their_digest(log: DecisionLog) -> None:
    assert log.rules("digest") is None
    log.keep_rules("digest", "margin = 1")
    log.keep_rules("digest", "what it said first stays")
    assert log.rules("digest") == "margin = 1"


def test_threads_and_connections_that_ask_at_once_get_one_decision(home: Home) -> None:
    with DecisionLog(home) as one, DecisionLog(home) as other:
        barrier, made = threading.Barrier(8), []

        def ask(log: DecisionLog) -> None:
            barrier.wait()
            for start in range(0, 60, 20):
                made.append(log.decide(range(start, start + 20), ASKED, coupon))

        threads = [threading.Thread(target=ask, args=(log,)) for log in (one, other) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 24
        for key in range(60):
            assert len({batch[key].id for batch in made if key in batch}) == 1
        assert one.standing(range(60), ASKED) == {k: d for batch in made for k, d in batch.items()}
        assert count(one) == 60


CHILD = """
import sys
from pathlib import Path
from core.home import Home
from records.decisions import DecisionLog
sys.path.insert(0, "tests/records")
from test_decision_log import ASKED, coupon

log = DecisionLog(Home(Path(sys.argv[1]), sys.argv[3] or None))
for start in range(0, 10**9, int(sys.argv[2])):
    for decision in log.decide(range(start, start + int(sys.argv[2])), ASKED, coupon).values():
        print(decision.customer_key, decision.id, flush=True)
"""


def child(home: Home, batch: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home.path), str(batch), home.database or ""],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_what_was_answered_outlives_a_killed_process(home: Home) -> None:
    killed = child(home, 3)
    assert killed.stdout is not None
    said = [killed.stdout.readline().split() for _ in range(200)]
    killed.send_signal(signal.SIGKILL)
    said += [line.split() for line in killed.stdout if line.endswith("\n")]
    assert killed.wait() == -signal.SIGKILL
    killed.stdout.close()
    with DecisionLog(home) as log:
        found = log.standing([int(key) for key, _ in said], ASKED)
        assert {(str(key), decision.id) for key, decision in found.items()} == {(k, i) for k, i in said}
        assert count(log) % 3 == 0  # a batch is there as a whole or not at all
        assert count(log) >= len(said)


def test_processes_that_ask_at_once_get_one_decision(home: Home) -> None:
    children = [child(home, 1) for _ in range(2)]
    said = []
    for process in children:
        assert process.stdout is not None
        said.append(dict(process.stdout.readline().split() for _ in range(300)))
    for process in children:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert said[0] == said[1]


# Outcomes


def test_an_outcome_is_kept_once_and_never_changed(log: DecisionLog) -> None:
    made = log.decide([7], ASKED, coupon)[7]
    assert outcomes.record(log, made.id, "converted", 64.2, NOON) == (True, NOON)
    evening = NOON + timedelta(hours=6)
    assert outcomes.record(log, made.id, "converted", 64.2, evening) == (False, NOON)
    assert outcomes.record(log, made.id, "clicked", None, evening) == (True, evening)
    with pytest.raises(outcomes.ToldOtherwise, match=r"came .* at 2024-05-01T12:00:00Z with the value 64.2"):
        outcomes.record(log, made.id, "converted", 64.3, evening)
    with pytest.raises(outcomes.UnknownDecision, match="no such decision"):
        outcomes.record(log, "nobody", "clicked", None, NOON)
    columns = [log_outcomes.c[name] for name in ("kind", "value", "customer_key")]
    with log.reading() as connection:
        rows = connection.execute(sa.select(*columns).order_by(log_outcomes.c.kind)).all()
    assert rows == [("clicked", None, 7), ("converted", 64.2, 7)]


# Runs


def test_a_run_is_read_in_its_order_with_what_stood_before_it(log: DecisionLog) -> None:
    stood = log.decide([5], ASKED, coupon)[5]
    with runs.running(log, ASKED, "country:DE", "zh", 6) as asked:
        assert asked.run_id is not None
        log.decide([1, 3, 5], asked, coupon)
        state = runs.find(log, asked.run_id)
        assert state is not None
        assert (state.status, state.done, state.total, state.segment) == ("running", 3, 6, "country:DE")
        log.decide([7, 9, 11], asked, lambda *_: replace(CHOICE, action="nothing", channel=None))
    state = runs.find(log, asked.run_id)
    assert state is not None
    assert (state.status, state.done, state.channels, state.language) == ("done", 6, None, "zh")
    assert (state.at, state.rules, state.caller, state.error) == (NOON, "digest", "api", None)
    pages = [runs.rows(log, asked.run_id, start, 4) for start in (0, 4, 8)]
    assert [place for page in pages for place, _ in page] == list(range(6))
    assert [d.customer_key for page in pages for _, d in page] == [1, 3, 5, 7, 9, 11]
    assert pages[0][2][1] == stood
    assert pages[0][0][1].question.run_id == asked.run_id
    assert runs.counts(log, asked.run_id) == {"coupon": 3, "nothing": 3}
    assert list(log.home.logs.glob("*.run")) == []
    assert runs.find(log, "nobody") is None


@pytest.mark.parametrize(
    ("raised", "status", "error"),
    [
        (runs.Stopped(), "interrupted", None),
        (KeyboardInterrupt(), "interrupted", None),
        (PatronError("the store is gone"), "failed", "the store is gone"),
        (ZeroDivisionError("C000001"), "failed", "unexpected ZeroDivisionError"),
    ],
)
def test_a_run_says_how_it_ended(
    raised: BaseException, status: str, error: str | None, log: DecisionLog
) -> None:
    run_id = None
    with suppress(type(raised)), runs.running(log, ASKED, None, "en", 5) as asked:
        run_id = asked.run_id
        raise raised
    assert run_id is not None
    state = runs.find(log, run_id)
    assert state is not None
    assert (state.status, state.error) == (status, error)


KILLED_RUN = """
import sys, time
from pathlib import Path
from core.home import Home
from records import runs
from records.decisions import DecisionLog
sys.path.insert(0, "tests/records")
from test_decision_log import ASKED, coupon

log = DecisionLog(Home(Path(sys.argv[1]), sys.argv[2] or None))
with runs.running(log, ASKED, None, "en", 100) as asked:
    log.decide(range(10), asked, coupon)
    print(asked.run_id, flush=True)
    time.sleep(600)
"""


def test_a_run_whose_process_was_killed_is_interrupted_and_not_before(home: Home, log: DecisionLog) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN, str(home.path), home.database or ""],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert killed.stdout is not None
    run_id = killed.stdout.readline().strip()
    for _ in range(2):
        state = runs.find(log, run_id)
        assert state is not None
        assert (state.status, state.done) == ("running", 10)
    killed.kill()
    killed.wait()
    killed.stdout.close()
    for _ in range(2):
        state = runs.find(log, run_id)
        assert state is not None
        assert (state.status, state.done, state.total) == ("interrupted", 10, 100)
    assert len(runs.rows(log, run_id, 0, 100)) == 10
    assert list(log.home.logs.glob("*.run")) == []


def test_only_so_many_runs_are_kept_and_their_decisions_stay(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MOST_RUNS", 3)
    made: list[str] = []
    with runs.running(log, ASKED, None, "en", 1) as first:
        for day in range(5):
            with runs.running(log, later(day), None, "en", 1) as asked:
                assert asked.run_id is not None
                made.append(asked.run_id)
                log.decide([1], asked, coupon)
    assert first.run_id is not None
    assert runs.find(log, first.run_id) is not None  # it went on all the time
    assert [runs.find(log, run_id) is not None for run_id in made] == [False, False, True, True, True]
    assert runs.rows(log, made[0], 0, 10) == []
    assert all(log.standing([1], later(day)) for day in range(5))
