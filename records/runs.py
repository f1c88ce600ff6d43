"""Runs: a decision for everybody in a segment, kept in the decision log to be read page by page.

While a run goes on its process holds a lock on ``logs/ID.run``. So a run that says it is running while
nobody holds its lock was interrupted, whatever ended its process.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from core import locks
from core.calendar import micros, moment
from core.errors import PatronError
from records.decisions import Decision, DecisionLog, Question, decisions, of_row, run_rows, runs

MOST_RUNS = 100  # kept to be read; the decisions of older ones stay in the log


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
    path = _lock_file(log, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    status, error = "interrupted", None
    with open(path, "w") as file:
        locks.acquire(file)
        row = {
            "id": run_id, "status": "running", "at_us": micros(question.at), "segment": segment,
            "channels": json.dumps(question.channels), "language": language, "rules": question.rules,
            "caller": question.caller, "total": total, "done": 0,
        }  # fmt: skip
        with log.writing() as connection:
            _drop_old(connection)
            connection.execute(sa.insert(runs), row)
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
            with log.writing() as connection:
                ended = sa.update(runs).where(runs.c.id == run_id).values(status=status, error=error)
                connection.execute(ended)
            path.unlink()


def find(log: DecisionLog, run_id: str) -> Run | None:
    """The run of that id, where it is among those kept."""
    with log.reading() as connection:
        row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).mappings().first()
    if row is None:
        return None
    held = {name: value for name, value in row.items() if name != "n"}
    at, channels = moment(held.pop("at_us")), json.loads(held.pop("channels"))
    run = Run(**held, at=at, channels=channels and tuple(channels))
    if run.status == "running" and not _held(_lock_file(log, run_id)):
        # Its end was written before its lock was given up, so without a lock "running" is no longer true.
        running = runs.c.id == run_id, runs.c.status == "running"
        with log.writing() as connection:
            connection.execute(sa.update(runs).where(*running).values(status="interrupted"))
        return find(log, run_id)
    return run


def rows(log: DecisionLog, run_id: str, start: int, most: int) -> list[tuple[int, Decision]]:
    """Up to ``most`` decisions of a run from place ``start`` on, in its order, each with its place."""
    asked = (
        sa.select(run_rows.c.place, decisions)
        .join(decisions, decisions.c.n == run_rows.c.decision)
        .where(run_rows.c.run_id == run_id, run_rows.c.place >= start)
        .order_by(run_rows.c.place)
        .limit(most)
    )
    with log.reading() as connection:
        return [(row.place, of_row(row)) for row in connection.execute(asked)]


def counts(log: DecisionLog, run_id: str) -> dict[str, int]:
    """How many of a run's customers get which action, the most frequent first."""
    asked = (
        sa.select(decisions.c.action, sa.func.count())
        .join(run_rows, decisions.c.n == run_rows.c.decision)
        .where(run_rows.c.run_id == run_id)
        .group_by(decisions.c.action)
    )
    with log.reading() as connection:
        found = {row[0]: row[1] for row in connection.execute(asked)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _lock_file(log: DecisionLog, run_id: str) -> Path:
    return log.home.logs / f"{run_id}.run"


def _held(path: Path) -> bool:
    """Whether a living process holds the lock; the file of a dead one is removed."""
    with suppress(FileNotFoundError), open(path) as file:
        if not locks.acquire(file):
            return True
        path.unlink(missing_ok=True)
    return False


def _drop_old(connection: sa.Connection) -> None:
    """Make room for a new run; those that go on stay."""
    newest = connection.execute(sa.select(sa.func.max(runs.c.n))).scalar() or 0
    old = runs.c.status != "running", runs.c.n <= newest - (MOST_RUNS - 1)
    mine = sa.select(runs.c.id).where(*old)
    connection.execute(sa.delete(run_rows).where(run_rows.c.run_id.in_(mine)))
    connection.execute(sa.delete(runs).where(*old))
