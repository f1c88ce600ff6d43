"""Runs: decisions for all customers of a segment, stored in the decision log and read page by page.

A run is a job (:mod:`records.jobs`) in ``recommendation-runs/ID`` of the home. Its decisions are listed in
the table ``run_rows``, each at the position of its customer in the job's ``customers``. A batch of decisions
and its rows are one transaction, so a resumed run decides for no customer twice and leaves none out.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from core import files
from core.calendar import moment
from core.errors import PatronError
from records.contacts import ledger
from records.contacts.tables import contacts
from records.decision import Decision, of_row
from records.decisions import DecisionLog
from records.job import Job
from records.jobs import JobStore
from records.tables import decisions, run_rows, runs

EARLIER = "earlier"
"""The origin of a run of an earlier version: neither a service nor the command line resumes it."""
_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class DecisionRun(Job):
    """A run.

    Attributes:
        channels: the requested channels, in alphabetical order; None for all.
        language: the default language of texts and reasons.
        rules: the digest of the actions' rules, the same for all customers.
        rule: the rule that its customers match, as one line; None for all of the segment.
        plan: the id of the plan that it releases; None for one that decides by the policy.
    """

    channels: tuple[str, ...] | None
    language: str
    rules: str
    rule: str | None = None
    plan: str | None = None

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """The run in the content of a ``job.json``."""
        channels = fields["channels"]
        return super().from_json(dict(fields) | {"channels": channels and tuple(channels)})


class RunStore(JobStore[DecisionRun]):
    """The runs of a home. The last 100 are readable; the decisions of older runs stay in the log."""

    noun = "run"
    max_jobs = 100

    def __init__(self, log: DecisionLog) -> None:
        super().__init__(log.home, log.home.recommendation_runs, DecisionRun)
        self.log = log
        _move_old_runs(log, self.folder)

    def count_done(self, job: DecisionRun) -> int:
        """The number of customers that have a decision in the run, or were skipped before one."""
        with self.log.reading() as connection:
            return _next_place(connection, job.id)

    def resume_at(self, job: DecisionRun) -> int:
        """The position of the first customer without a decision.

        Waits for other writers: a server may still commit the last batch of a process that was killed.
        """
        with self.log.writing() as connection:
            return _next_place(connection, job.id)

    def delete_results(self, job_id: str) -> None:
        """Delete the list of a run's decisions; the decisions stay in the log."""
        with self.log.writing() as connection:
            connection.execute(sa.delete(run_rows).where(run_rows.c.run_id == job_id))


def rows(
    log: DecisionLog, run_id: str, start: int, limit: int, without: str | None = None
) -> list[tuple[int, Decision]]:
    """Up to ``limit`` decisions of a run with their positions, in order, beginning at the position
    ``start``; those for the action ``without`` are left out.
    """
    query = (
        sa.select(run_rows.c.place, decisions)
        .join(decisions, decisions.c.n == run_rows.c.decision)
        .where(run_rows.c.run_id == run_id, run_rows.c.place >= start)
        .order_by(run_rows.c.place)
        .limit(limit)
    )
    if without is not None:
        query = query.where(decisions.c.action != without)
    with log.reading() as connection:
        return [(row.place, of_row(row)) for row in connection.execute(query)]


def counts(log: DecisionLog, run_id: str) -> dict[str, int]:
    """The number of a run's customers per action, the most frequent first."""
    query = (
        sa.select(decisions.c.action, sa.func.count())
        .join(run_rows, decisions.c.n == run_rows.c.decision)
        .where(run_rows.c.run_id == run_id)
        .group_by(decisions.c.action)
    )
    with log.reading() as connection:
        customers = {row[0]: row[1] for row in connection.execute(query)}
    return dict(sorted(customers.items(), key=lambda item: (-item[1], item[0])))


def chosen(log: DecisionLog, run_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The chosen action of each customer of a run, with the reasons of the decision, page by page."""
    query = (
        sa.select(run_rows.c.place, decisions.c.action, decisions.c.reasons)
        .join(decisions, decisions.c.n == run_rows.c.decision)
        .order_by(run_rows.c.place)
        .limit(_PAGE)
    )
    start = 0
    while True:
        with log.reading() as connection:
            page = connection.execute(
                query.where(run_rows.c.run_id == run_id, run_rows.c.place >= start)
            ).all()
        yield from ((row.action, json.loads(row.reasons)) for row in page)
        if len(page) < _PAGE:
            return
        start = page[-1].place + 1


def reasons_against(log: DecisionLog, run_id: str) -> list[dict[str, Any]]:
    """The stored reasons of a run's customers for whom nothing is to be done."""
    query = (
        sa.select(decisions.c.reasons)
        .join(run_rows, decisions.c.n == run_rows.c.decision)
        .where(run_rows.c.run_id == run_id, decisions.c.channel.is_(None))
    )
    with log.reading() as connection:
        return [json.loads(reasons) for reasons in connection.execute(query).scalars()]


def release(log: DecisionLog, run_id: str, at: datetime) -> int:
    """Count the actions of a run as exported contacts; returns how many are new.

    Args:
        at: by the shop's clock.
    """
    with log.writing() as connection:
        return ledger.export_run(connection, run_id, at)


def undo_release(log: DecisionLog, run_id: str) -> int:
    """Take a release back; returns how many contacts are deleted.

    Actions that were reported as sent or shown since remain contacts.
    """
    listed = (
        sa.select(decisions.c.id)
        .join(run_rows, run_rows.c.decision == decisions.c.n)
        .where(run_rows.c.run_id == run_id)
    )
    with log.writing() as connection:
        return ledger.undo_export(connection, contacts.c.decision_id.in_(listed))


def _next_place(connection: sa.Connection, run_id: str) -> int:
    last = connection.execute(sa.select(sa.func.max(run_rows.c.place)).where(run_rows.c.run_id == run_id))
    place = last.scalar()
    return 0 if place is None else int(place) + 1


def _move_old_runs(log: DecisionLog, folder: Path) -> None:
    """Write the runs of earlier versions, which are rows of ``runs``, as jobs, and delete the rows.

    The customers of these runs were not stored, so interrupted ones cannot be resumed.

    Raises:
        PatronError: the folder cannot be written; the rows stay.
    """
    with log.reading() as connection:
        if connection.execute(sa.select(runs.c.n).limit(1)).first() is None:
            return
    with log.writing() as connection:
        try:
            for row in connection.execute(sa.select(runs)).mappings():
                _write_old_run(folder, dict(row))
        except OSError as error:
            raise PatronError(f"the folder {folder} cannot be written: {error}") from error
        connection.execute(sa.delete(runs))
    for lock in log.home.logs.glob("*.run"):
        lock.unlink(missing_ok=True)


def _write_old_run(folder: Path, row: dict[str, Any]) -> None:
    if (folder / row["id"]).exists():  # a process ended between the two steps
        return
    fields = {name: row[name] for name in ("id", "error", "segment", "language", "rules", "caller", "total")}
    fields |= {
        "status": "running" if row["status"] == "interrupted" else row["status"],
        "at": moment(row["at_us"]).isoformat(),
        "order": row["n"],
        "origin": EARLIER,
        "channels": json.loads(row["channels"]),
    }
    draft = folder / f"{row['id']}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    files.replace(draft / "job.json", json.dumps(fields, indent=1), durable=True)
    os.replace(draft, folder / row["id"])
