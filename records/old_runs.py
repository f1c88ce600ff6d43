"""Runs of earlier versions, whose requests are rows of the table ``runs``: they become jobs.

Their customers were not stored, so one that was interrupted stays so.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core import files
from core.calendar import moment
from core.errors import PatronError
from records.decisions import DecisionLog, runs

EARLIER = "earlier"
"""The origin of such a run: neither a service nor the command line resumes it."""


def move(log: DecisionLog, folder: Path) -> None:
    """Write the rows of ``runs`` as jobs below ``folder``, and delete them.

    Raises:
        PatronError: the folder cannot be written; the rows stay.
    """
    with log.reading() as connection:
        if connection.execute(sa.select(runs.c.n).limit(1)).first() is None:
            return
    with log.writing() as connection:
        try:
            for row in connection.execute(sa.select(runs)).mappings():
                _write(folder, dict(row))
        except OSError as error:
            raise PatronError(f"the folder {folder} cannot be written: {error}") from error
        connection.execute(sa.delete(runs))
    for lock in log.home.logs.glob("*.run"):
        lock.unlink(missing_ok=True)


def _write(folder: Path, row: dict[str, Any]) -> None:
    if (folder / row["id"]).exists():  # the process ended before the row was deleted
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
