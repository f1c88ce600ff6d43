"""An SQLite file as a home's database: how it is made and opened."""

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
"""The option of a connection that is about to write: whether what it writes shall outlive a power cut."""
BUSY_SECONDS = 10.0
QUICK_BUSY_SECONDS = 0.05  # of a read in a request's path
LARGEST_WAL_BYTES = 64 * 2**20  # to which the write-ahead log shrinks after a reader kept it from ending


def engine(path: Path) -> sa.Engine:
    """Connections to a file that is there; nothing is opened yet."""
    made = sa.create_engine("sqlite://", creator=partial(connect, path), poolclass=sa.QueuePool)
    sa.event.listen(made, "begin", _begin)
    return made


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one of all threads and processes in at a time.

    They queue in the kernel. SQLite by itself would let them sleep and try again, in no order, so that one
    of many writers could be kept waiting for long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        locks.wait(folder)
        yield
    finally:
        os.close(folder)


def make(path: Path) -> None:
    """Make the file where it is missing, for its owner's eyes only, and let it keep a write-ahead log."""
    with alone(path):  # two who switch the log on at once would refuse each other
        path.touch(0o600)
        connection = connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()


def connect(path: Path, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection that waits so long for whoever keeps all others out."""
    # Transactions begin where we say so, not where the driver guesses.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{_mode(path)}", uri=True, timeout=busy_seconds,
        isolation_level=None, check_same_thread=False,
    )  # fmt: skip


def _mode(path: Path) -> str:
    """On a disk that cannot be written nothing changes, and no log beside the file is needed to read it."""
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
