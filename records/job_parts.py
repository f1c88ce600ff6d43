"""Parts of score jobs as the log of scores holds them: the features that were read and what was answered.

They are by ``customer_key`` and hold no ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core import files
from core.home import Home
from records import score_jobs as jobs

TOLD = ("at_us", "day", "after")


def write(home: Home, job: jobs.Job, chunk: int, rows: pa.Table, told: Mapping[str, int]) -> None:
    """Put a chunk's answers into their file, in one step.

    Args:
        told: ``TOLD``, when they were given: see :class:`Part`.
    """
    path = jobs.part(home, job, chunk)
    rows = rows.replace_schema_metadata({name: str(value) for name, value in told.items()})
    texts = [field.name for field in rows.schema if not pa.types.is_primitive(field.type)]
    with files.replacing(path) as draft:
        pq.write_table(rows, draft, compression="lz4", use_dictionary=texts, write_statistics=False)


@dataclass(frozen=True)
class Part:
    """A chunk's answers, as the log of scores holds them.

    Attributes:
        at_us: when they were given, by the shop's clock, in microseconds since 1970.
        day: the shop's day of that moment.
        after: the number of the last row of the log's table that was there before them.
        order: that of the job among all.
        models: per model the version that answered.
    """

    path: Path
    at_us: int
    day: int
    after: int
    order: int
    models: Mapping[str, str]


def answered(home: Home) -> list[Part]:
    """All parts of all jobs that are kept."""
    found = []
    for job in jobs.listed(home):
        for chunk in range(job.chunks):
            with suppress(OSError, pa.ArrowException, KeyError):  # missing, or damaged
                path = jobs.part(home, job, chunk)
                told = {name: int(pq.read_metadata(path).metadata[name.encode()]) for name in TOLD}
                found.append(Part(path, order=job.order, models=job.models, **told))
    return found
