"""What the logs' SQLite files have in common."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def connect(path: Path, tables: str) -> sqlite3.Connection:
    """A connection in WAL mode, for any thread but one at a time, to a file that has these tables."""
    connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(tables)
    return connection


def microseconds(moment: datetime) -> int:
    """A moment as the logs hold it: microseconds since 1970-01-01, UTC."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def moment(us: int) -> datetime:
    """The moment (UTC) of so many microseconds."""
    return _EPOCH + timedelta(microseconds=us)
