"""Score jobs: predictions for all customers of a segment, stored in columns.

Each scored chunk of the customers is a Parquet file in the job's folder (``score-jobs/ID`` of the
home), written in one step; a chunk is done if its file exists. :mod:`records.job_parts` writes and reads
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.home import Home
from records.job import Job
from records.jobs import JobStore

CHUNK = 25_000  # customers in a part, which is held in memory


@dataclass(frozen=True, kw_only=True)
class ScoreJob(Job):
    """A score job.

    Attributes:
        models: the version of each model, the same for all customers.
        absent: for each requested model without a champion, the reason.
        chunk: the number of customers per part.
    """

    models: Mapping[str, str]
    absent: Mapping[str, str]
    chunk: int = field(default_factory=lambda: CHUNK)

    @property
    def chunks(self) -> int:
        """The number of parts of the finished job."""
        return -(-self.total // self.chunk)


class ScoreJobStore(JobStore[ScoreJob]):
    """The score jobs of a home, with their files and their rows in the log.

    The last 40 are stored, and the first finished job of all customers in each of the last 13 months, with
    which the monitor compares the outcomes of long horizons.
    """

    noun = "job"
    max_jobs = 40  # a month of one a day, and some
    max_months = 13
    no_customers = "there is nobody to score: no customer is in it who has an id"

    def __init__(self, home: Home) -> None:
        super().__init__(home, home.score_jobs, ScoreJob)

    def superseded(self, jobs: Sequence[ScoreJob]) -> Sequence[ScoreJob]:
        """The jobs to delete, of all jobs with the newest first."""
        whole = [job for job in jobs if job.status == "done" and job.segment is None]
        first_of_month = {(job.at.year, job.at.month): job.id for job in whole}
        monthly = set(list(first_of_month.values())[: self.max_months])
        return [job for job in super().superseded(jobs) if job.id not in monthly]

    def newest_whole(self, model: str) -> ScoreJob | None:
        """The newest finished job of all customers with a model; None if there is none."""
        whole = (job for job in self.list_jobs() if job.status == "done" and job.segment is None)
        return next((job for job in whole if model in job.models), None)

    def count_done(self, job: ScoreJob) -> int:
        """The number of customers in existing parts."""
        last = job.chunks - 1
        done = [chunk for chunk in range(job.chunks) if self.part(job, chunk).exists()]
        short = job.chunks * job.chunk - job.total if last in done else 0
        return len(done) * job.chunk - short

    def chunk_customers(self, job: ScoreJob, chunk: int) -> NDArray[np.int64]:
        """The keys of a chunk's customers."""
        return self.customers(job, chunk * job.chunk, job.chunk)

    def open_chunks(self, job: ScoreJob) -> list[int]:
        """The chunks without a part, or with a part that a power cut damaged."""
        return [chunk for chunk in range(job.chunks) if not _is_whole(self.part(job, chunk))]

    def part(self, job: ScoreJob, chunk: int) -> Path:
        """The file of a chunk's predictions."""
        return self.folder / job.id / part_name(chunk)


def part_name(chunk: int) -> str:
    """The name of the file of a chunk's predictions."""
    return f"part-{chunk:05}.parquet"


def _is_whole(path: Path) -> bool:
    try:
        return bool(pq.read_metadata(path).num_row_groups)
    except (OSError, pa.ArrowException):
        return False
