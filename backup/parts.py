"""What a home contains, and which of it a backup keeps: every entry of a home's folder is in one list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.home import Home

SETTINGS = (
    "home.toml", "actions.toml", "audiences.toml", "deliveries.toml", "deliveries.json", "features.toml",
    "products.parquet", "text-classifier.zip", "warehouse",
)  # fmt: skip
"""Files, and the folder of a warehouse's queries, that are copied as they are."""
JOBS = ("score-jobs", "recommendation-runs", "plans")
REPORTS = "reports"
LAKE, MLFLOW, DATABASE = "events", "mlflow", "database"
"""Folders of a backup that are copied in ways of their own."""
MLFLOW_SERVER = "mlflow-server"
"""The folder of a backup with the models of an MLflow server."""
STORED = (*SETTINGS, *JOBS, REPORTS, LAKE, MLFLOW)
"""Entries of a home that a backup contains, besides the database."""
DATABASE_FILES = ("patron.db", "patron.db-wal", "patron.db-shm")
REBUILT = (
    "snapshots", "spark", "feast", "logs", "limits", "plan-previews",
    "refreshed.json", "refresher.json", "refreshers",
)  # fmt: skip
"""Entries that are computed again, or describe processes; a restored home begins without them."""
IDS = ("home.id",)
LOCKS = ("refresher.lock", "refreshers.lock", "refreshed.lock", "deliveries.lock")
"""Files that are only locked."""
_PASSING = (".draft", ".lock", "going-on")  # ends of the names of files that are not copied


def files_below(folder: Path) -> Iterator[Path]:
    """The files below a folder, without drafts and locks, relative to it; what a job's ``job.json`` describes
    comes after it.
    """
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    lasting = (path for path in paths if not any(part.endswith(_PASSING) for part in path.parts))
    yield from sorted(lasting, key=lambda path: (path.name != "job.json", path))


def existing(home: Home) -> list[str]:
    """The entries of a home that a restore would replace."""
    names = (*IDS, *STORED, *DATABASE_FILES, *REBUILT)
    return [name for name in names if (home.path / name).exists()]
