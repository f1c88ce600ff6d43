"""Runs: a decision for everybody in a segment, kept in the decision log to be read page by page.

While a run goes on its process holds a lock on ``logs/ID.run``. So a run that says it is running while
nobody holds its lock was interrupted, whatever ended its process.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from features.calendar import micros, moment
from features.errors import PatronError
from features.logs.decisions import SELECTED, Decision, DecisionLog, Question, of_row

MOST_RUNS = 100  # kept to be read; the decisions of older ones stay in the log
_COLUMNS = "id, status, at_us, error, segment, channels, language, rules, caller, total, done"


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the log holds it.

    Attributes:
        status: ``running``, ``done``, ``failed`` (``error`` says why) or ``interrupted``.
        segment: who was decided for, such as ``country:DE``; None for everybody.
        total: the customers it is about; ``done``: those decided for so far.
    """

    id: str
    status: str
    at: datetime
    error: str | None
    segment: str | None
    channels: tuple[str, ...] | None
    language: str
    rules: str
    caller: str
    total: int
    done: int


class Stopped(Exception):
    """Raised inside :func:`running` to leave the run ``interrupted``."""


@contextmanager
def running(
    log: DecisionLog, question: Question, segment: str | None, language: str, total: int
) -> Iterator[Question]:
    """A new run, which goes on as long as the ``with``; gives the question to ask in it.

    It ends as ``done``, by :class:`Stopped` or Ctrl-C as ``interrupted``, by another error as ``failed``.
    """
    run_id = uuid.uuid4().hex
    path = log.path.parent / f"{run_id}.run"
    status, error = "interrupted", None
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with log.transaction("IMMEDIATE") as db:
            _drop_old(db)
            db.execute(
                "INSERT INTO runs (id, status, at_us, segment, channels, language, rules, caller, total)"
                " VALUES (?, 'running', ?, ?, ?, ?, ?, ?, ?)",
                (run_id, micros(question.at), segment, json.dumps(question.channels), language,
                 question.rules, question.caller, total),
            )  # fmt: skip
        try:
            yield replace(question, run_id=run_id)
            status = "done"
        except Stopped:
            pass
        except Exception as raised:
            status = "failed"
            error = str(raised) if isinstance(raised, PatronError) else f"unexpected {type(raised).__name__}"
            raise
        finally:
            with log.transaction("IMMEDIATE") as db:
                db.execute("UPDATE runs SET status = ?, error = ? WHERE id = ?", (status, error, run_id))
            path.unlink()


def find(log: DecisionLog, run_id: str) -> Run | None:
    """The run of that id, where it is among those kept."""
    with log.transaction() as db:
        row = db.execute(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        return None
    held = dict(zip(_COLUMNS.split(", "), row, strict=True))
    at, channels = moment(held.pop("at_us")), json.loads(held.pop("channels"))
    run = Run(**held, at=at, channels=channels and tuple(channels))
    if run.status == "running" and not _held(log.path.parent / f"{run_id}.run"):
        # Its end was written before its lock was given up, so without a lock "running" is no longer true.
        with log.transaction("IMMEDIATE") as db:
            ended = "UPDATE runs SET status = 'interrupted' WHERE id = ? AND status = 'running'"
            db.execute(ended, (run_id,))
        return find(log, run_id)
    return run


def rows(log: DecisionLog, run_id: str, start: int, most: int) -> list[tuple[int, Decision]]:
    """Up to ``most`` decisions of a run from place ``start`` on, in its order, each with its place."""
    with log.transaction() as db:
        found = db.execute(
            f"SELECT r.place, {SELECTED} FROM run_rows r JOIN decisions d ON d.n = r.decision"
            " WHERE r.run_id = ? AND r.place >= ? ORDER BY r.place LIMIT ?",
            (run_id, start, most),
        ).fetchall()
    return [(row[0], of_row(row[1:])) for row in found]


def counts(log: DecisionLog, run_id: str) -> dict[str, int]:
    """How many of a run's customers get which action, the most frequent first."""
    with log.transaction() as db:
        found = db.execute(
            "SELECT d.action, count(*) AS n FROM run_rows r JOIN decisions d ON d.n = r.decision"
            " WHERE r.run_id = ? GROUP BY d.action ORDER BY n DESC, d.action",
            (run_id,),
        )
        return dict(found.fetchall())


def _held(path: Path) -> bool:
    """Whether a living process holds the lock; the file of a dead one is removed."""
    with suppress(FileNotFoundError), open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        path.unlink(missing_ok=True)
    return False


def _drop_old(db: sqlite3.Connection) -> None:
    """Make room for a new run; those that go on stay."""
    old = f"status != 'running' AND n <= (SELECT max(n) FROM runs) - {MOST_RUNS - 1}"
    db.execute(f"DELETE FROM run_rows WHERE run_id IN (SELECT id FROM runs WHERE {old})")
    db.execute(f"DELETE FROM runs WHERE {old}")
