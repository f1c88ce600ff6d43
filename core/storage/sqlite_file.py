"""An SQLite file as a home's database: creating and opening it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import sqlalchemy as sa

from core import locks

WRITING = "patron_writing"
"""The execution option of a connection that is about to write: whether the write must survive a power cut."""
BUSY_SECONDS = 10.0
QUICK_BUSY_SECONDS = 0.05  # of a read in the path of a request
LARGEST_WAL_BYTES = 64 * 2**20  # to which the write-ahead log shrinks after a long reader let it grow


def engine(path: Path) -> sa.Engine:
    """An SQLAlchemy engine for an existing file; opens nothing yet."""
    made = sa.create_engine("sqlite://", creator=partial(connect, path), poolclass=sa.QueuePool)
    sa.event.listen(made, "begin", _begin)
    return made


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Admit one thread or process at a time.

    Waiting writers queue in the kernel. SQLite alone would let them sleep and retry in no order, so that one
    of many could wait for a long time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        locks.wait(folder)
        yield
    finally:
        os.close(folder)


def create(path: Path) -> None:
    """Create the file if it is missing, readable only by its owner, with a write-ahead log."""
    with exclusive(path):  # two processes that enable the write-ahead log at once would both fail
        path.touch(0o600)
        connection = connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()


def connect(path: Path, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection that waits up to ``busy_seconds`` for a lock."""
    # Transactions begin where the code says so; the driver's implicit ones are turned off.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{_mode(path)}", uri=True, timeout=busy_seconds,
        isolation_level=None, check_same_thread=False,
    )  # fmt: skip


def _mode(path: Path) -> str:
    """Read-only and immutable on a disk that cannot be written, so that no log file is needed for reading."""
    if not os.statvfs(path.parent).f_flag & os.ST_RDONLY:
        return "mode=rw"
    log = path.with_name(f"{path.name}-wal")
    return "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"


def _begin(connection: sa.Connection) -> None:
    durable = connection.get_execution_options().get(WRITING)
    plain = cast(sqlite3.Connection, connection.connection.dbapi_connection)
    if durable is None:
        plain.execute("BEGIN")
        return
    plain.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    plain.execute(f"PRAGMA journal_size_limit = {LARGEST_WAL_BYTES}")
    plain.execute("BEGIN IMMEDIATE")
