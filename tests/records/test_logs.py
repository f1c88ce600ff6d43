"""The score log: queued rows are stored, and the losses of killed processes are counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import records as logs
from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from core.storage.duckdb_engine import connect
from records import Prediction, ScoreLog, predictions, read
from records.tables import scores

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = 19_844  # 2024-05-01
ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(empty_home: Home) -> Home:
    return empty_home


def answer(key: int, score: float | None = 0.5, **changed: Any) -> Prediction:
    given: dict[str, Any] = {
        "at": NOON, "day": DAY, "customer_key": key, "as_of": NOON, "route": "api",
        "features": ("orders", "country"), "vector": [key, "DE"],
        "answers": {"churn": {"version": "3", "score": score}},
    }  # fmt: skip
    return Prediction(**given | changed)


def everything(home: Home) -> logs.Logged:
    return read(home, NOON - timedelta(days=1000), NOON + timedelta(days=1000), connect())


def stored(home: Home) -> list[tuple[Any, ...]]:
    with Database(home).reading() as connection:
        remaining = sa.select(scores.c.customer_key, scores.c.vector, scores.c.answers)
        return [tuple(row) for row in connection.execute(remaining.order_by(scores.c.id))]


def until(true: Callable[[], bool]) -> None:
    """Wait for a condition, at most a minute."""
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come about")


# Put, close, read


def test_queued_rows_are_readable_after_closing(home: Home) -> None:
    with ScoreLog(home) as log:
        log.put([answer(1, 0.25), answer(2, None, vector=[None, None])])
        log.put(
            [answer(3, features=("orders",), vector=[7.5], answers={"clv": {"version": "1", "score": 9.0}})]
        )
    assert (log.accepted, log.written, log.dropped, log.queued) == (3, 3, 0, 0)
    result = everything(home)
    assert (result.answers, result.lost) == (3, 0)
    frame = result.vectors.to_pandas().set_index("customer_key").astype(object)
    frame = frame.where(frame.notna(), None)
    assert frame.loc[1].to_dict() == {
        "day": DAY, "orders": 1, "country": "DE", "churn.score": 0.25, "churn.version": "3",
        "clv.score": None, "clv.version": None,
    }  # fmt: skip
    assert frame.loc[2, ["orders", "country", "churn.score"]].isna().all()
    assert frame.loc[3, ["orders", "clv.score", "churn.version"]].tolist() == [7.5, 9.0, None]


def test_values_survive_a_round_trip_exactly(home: Home) -> None:
    values = [0.1 + 0.2, 1e300, -0.0, 2**53 + 1, True, "Zoë \N{SNOWMAN} \"'", None]
    names = tuple(f"f{i}" for i in range(len(values)))
    with ScoreLog(home) as log:
        log.put([answer(2**62, 1 / 3, features=names, vector=values)])
    ((key, vector, answers),) = stored(home)
    assert (key, json.loads(vector)) == (2**62, values)
    assert json.loads(answers)["churn"]["score"] == 1 / 3
    (row,) = everything(home).vectors.to_pandas().to_dict("records")
    assert [row[name] for name in names[:-1]] == values[:-1]


def test_a_customer_has_one_vector_per_day_the_last_one(home: Home) -> None:
    with ScoreLog(home) as log:
        log.put([answer(1, vector=[1, "DE"]), answer(2, vector=[2, "DE"])])
        log.put([answer(1, vector=[10, "FR"]), answer(1, 0.9, vector=[11, "AT"])])
        log.put([answer(1, vector=[12, "CH"], day=DAY + 1, at=NOON + timedelta(days=1))])
    result = everything(home)
    assert result.answers == 5
    rows = result.vectors.order_by("day", "customer_key").to_pandas()
    rows = rows[["day", "customer_key", "orders", "country"]]
    assert rows.to_numpy().tolist() == [[DAY, 1, 11, "AT"], [DAY, 2, 2, "DE"], [DAY + 1, 1, 12, "CH"]]


def test_a_span_holds_both_its_ends_and_nothing_outside(home: Home) -> None:
    tick = timedelta(microseconds=1)
    with ScoreLog(home) as log:
        for i, moment in enumerate((NOON - tick, NOON, NOON + tick, NOON + 2 * tick)):
            log.put([answer(i, at=moment)])
    result = read(home, NOON, NOON + tick, connect())
    assert result.answers == 2
    assert sorted(result.vectors.to_pandas()["customer_key"]) == [1, 2]
    nothing = read(home, NOON + timedelta(days=1), NOON + timedelta(days=2), connect())
    assert nothing.answers == 0
    assert nothing.vectors.to_pandas().empty


def test_rows_are_committed_while_the_log_is_open(home: Home) -> None:
    with ScoreLog(home) as log:
        log.put([answer(1)])
        until(lambda: log.written == 1)
        assert everything(home).answers == 1
        assert everything(home).lost == 0  # a reader does not take the living for dead
        log.put([answer(2)])
    assert everything(home).answers == 2


def test_nothing_is_lost_on_close_however_much_is_queued(home: Home) -> None:
    count = 20_000
    with ScoreLog(home) as log:
        for start in range(0, count, 100):
            log.put([answer(key) for key in range(start, start + 100)])
            log.wait()
    assert [key for key, *_ in stored(home)] == list(range(count))
    log.close()  # closing again does nothing
    assert list(home.logs.glob("*.accepted")) == []


def test_two_writers_and_their_threads_lose_nothing_and_mix_nothing(home: Home) -> None:
    with ScoreLog(home) as one, ScoreLog(home) as other:

        def put(log: ScoreLog, first: int) -> None:
            for key in range(first, first + 500):
                log.put([answer(key, key / 10_000)])

        threads = [
            threading.Thread(target=put, args=(log, 1000 * i))
            for i, log in enumerate((one, other, one, other))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert one.accepted == other.accepted == one.written == other.written == 1000
    rows = stored(home)
    assert sorted(key for key, *_ in rows) == [1000 * i + n for i in range(4) for n in range(500)]
    for key, vector, answers in rows:
        assert json.loads(vector)[0] == key
        assert json.loads(answers)["churn"]["score"] == key / 10_000
    assert everything(home).lost == 0


def test_rows_beyond_the_queues_limit_are_dropped_and_counted(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "MAX_QUEUED_ROWS", 10)
    with ScoreLog(home) as log, Database(home).writing() as other:
        other.execute(sa.text("ALTER TABLE scores RENAME TO away"))
        other.execute(sa.text("ALTER TABLE away RENAME TO scores"))  # locked now, as if the disk were full
        log.put([answer(key) for key in range(11)])
        assert (log.accepted, log.dropped, log.queued) == (11, 11, 0)
        log.put([answer(key) for key in range(10)])
        assert (log.accepted, log.dropped) == (21, 11)
    assert log.written == 10
    assert [key for key, *_ in stored(home)] == list(range(10))


def test_rows_that_could_not_be_committed_are_committed_later_in_their_order(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    with ScoreLog(home) as log:
        with Database(home).writing() as other:
            other.execute(sa.text("ALTER TABLE scores RENAME TO away"))
        log.put([answer(key) for key in range(5)])
        until(lambda: "cannot be written; it will be retried" in caplog.text)
        assert log.written == 0
        with Database(home).writing() as other:
            other.execute(sa.text("ALTER TABLE away RENAME TO scores"))
        log.put([answer(5)])
    assert log.written == 6
    assert [key for key, *_ in stored(home)] == list(range(6))


# Killed writers

CHILD = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from core.home import Home
from records import Prediction, ScoreLog

log = ScoreLog(Home(Path(sys.argv[1]), sys.argv[2] or None))
now = datetime(2024, 5, 1, 12, tzinfo=UTC)
key = 0
while True:
    rows = []
    for _ in range(5):
        key += 1
        rows.append(Prediction(now, 19_844, key, now, "api", ("orders",), [key], {}))
    log.put(rows)
    print(key, time.monotonic(), flush=True)
    time.sleep(0.002)
"""


def test_a_killed_writer_loses_at_most_a_second_and_the_loss_is_counted(home: Home) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home.path), home.database or ""],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdout is not None
    text: list[tuple[int, float]] = []
    for line in child.stdout:
        key, at = line.split()
        text.append((int(key), float(at)))
        if text[-1][1] - text[0][1] > 2.5:
            break
    with ScoreLog(home) as other_value:  # another writer, while the child lives
        assert other_value.lost_before == 0
    child.send_signal(signal.SIGKILL)
    text += [(int(line.split()[0]), float(line.split()[1])) for line in child.stdout if line.count(" ") == 1]
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()

    with ScoreLog(home) as after:
        lost = after.lost_before
    keys = [key for key, *_ in stored(home)]
    accepted, last = text[-1]
    assert keys == list(range(1, len(keys) + 1))  # the earlier rows are there, without a gap
    assert len(keys) > 0
    assert accepted <= len(keys) + lost <= accepted + 5  # killed between a put and its line, at worst
    in_the_last_second = sum(5 for _, at in text if at > last - 1)
    assert lost <= in_the_last_second
    assert everything(home).lost == lost
    with ScoreLog(home) as once_more:
        assert once_more.lost_before == lost  # not counted twice


# Errors


def test_reading_before_anything_was_scored_says_what_to_do(home: Home) -> None:
    with pytest.raises(PatronError, match=r"nothing was scored yet in .*; run `patron score`"):
        everything(home)


def test_a_folder_that_cannot_be_made_is_refused_with_its_path(home: Home) -> None:
    home.path.mkdir()
    home.logs.write_text("in the way")
    with pytest.raises(PatronError, match=r"the folder .*logs cannot be written"):
        ScoreLog(home)
