"""What the logs' SQLite files have in common."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def connect(path: Path, tables: str) -> sqlite3.Connection:
    """A connection in WAL mode, for any thread but one at a time, to a file that has these tables."""
    connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(tables)
    return connection
