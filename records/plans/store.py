"""Plans: what everybody gets, computed as jobs and stored as previews.

A plan is a job (:mod:`records.jobs`) in ``plans/ID`` of the home. ``plan.parquet`` has a row per customer who
gets an action, the most valuable first; ``report.json``, which is written last, says what the plan does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.errors import PatronError
from core.home import Home
from records.batches import KEY
from records.job import Job
from records.jobs import JobStore

SCHEMA = pa.schema(
    [(KEY, pa.int64()), ("action", pa.string()), ("expected_value", pa.float64()), ("expense", pa.float64())]
)


@dataclass(frozen=True, kw_only=True)
class PlanJob(Job):
    """A plan.

    Attributes:
        channels: the requested channels, in alphabetical order; None for all.
        language: the default language of texts.
        rules: the digest of the actions' rules.
        money: currency for all actions together, in addition to the budgets; None for no such limit.
    """

    channels: tuple[str, ...] | None
    language: str
    rules: str
    money: float | None

    @property
    def request(self) -> tuple[Any, ...]:
        """What was requested: plans with the same are of one question."""
        return self.segment, self.channels, self.language, self.rules, self.money

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """The plan in the content of a ``job.json``."""
        channels = fields["channels"]
        return super().from_json(dict(fields) | {"channels": channels and tuple(channels)})


class PlanStore(JobStore[PlanJob]):
    """The plans of a home; the last 50 are stored."""

    noun = "plan"
    max_jobs = 50
    no_customers = "there is nobody to plan for: no customer is in it who has an id"

    def __init__(self, home: Home, folder: Path | None = None) -> None:
        super().__init__(home, folder or home.plans, PlanJob)

    def count_done(self, job: PlanJob) -> int:
        """All customers once the plan is stored; before that the share of the work that is done."""
        folder = self.folder / job.id
        if (folder / "report.json").exists():
            return job.total
        try:
            return int(job.total * float((folder / "share").read_text()))
        except FileNotFoundError:
            return 0

    def record_share(self, job: PlanJob, share: float) -> None:
        """Record which share of the work on a plan is done, from 0 to 1."""
        files.replace(self.folder / job.id / "share", str(share))

    def save(self, job: PlanJob, rows: pa.Table, report: Mapping[str, Any]) -> None:
        """Store what was planned.

        Args:
            rows: of ``SCHEMA``. report: plain data.
        """
        folder = self.folder / job.id
        with files.replacing(folder / "plan.parquet") as draft:
            pq.write_table(rows.cast(SCHEMA), draft)
        files.replace(folder / "report.json", json.dumps(report, indent=1), durable=True)

    def report(self, job: PlanJob) -> dict[str, Any]:
        """What a finished plan does, as it was stored."""
        content: dict[str, Any] = json.loads((self.folder / job.id / "report.json").read_text())
        return content

    def rows(self, job: PlanJob, limit: int | None = None) -> pa.Table:
        """Who gets what in a finished plan, the most valuable first.

        Args:
            limit: so many customers; None for all.
        """
        table = self._table(job)
        return table if limit is None else table.slice(0, limit)

    def planned(self, job: PlanJob) -> dict[int, str]:
        """The action of each customer who gets one, by key, the most valuable first."""
        table = self._table(job)
        return dict(zip(table[KEY].to_pylist(), table["action"].to_pylist(), strict=True))

    def _table(self, job: PlanJob) -> pa.Table:
        path = self.folder / job.id / "plan.parquet"
        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise PatronError(f"{path} is missing or damaged; make the plan again") from error


class PlanPreviewStore(PlanStore):
    """The previews of plans that pages show; the last 20 are stored."""

    noun = "preview"
    max_jobs = 20

    def __init__(self, home: Home) -> None:
        super().__init__(home, home.plan_previews)
