"""Counts the predictions lost with killed writers of the score log.

A writer counts the rows that it accepts in a locked, memory-mapped file, which survives a killed process. A
table of the log counts the rows that it committed. Once the file's lock is free, the difference is lost.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from core import files, locks
from core.storage.batches import Statement, execute
from core.storage.connections import Turn
from core.storage.database import Database
from records.tables import writers


def open_counter(path: Path) -> tuple[mmap.mmap, BinaryIO]:
    """Create a counter of eight bytes, little-endian; its file is locked as long as the writer lives."""
    with files.replacing(path) as draft:  # renamed once locked, or another process could take it for dead
        file = open(draft, "w+b")  # noqa: SIM115 - stays open as long as the writer lives
        locks.acquire(file)
        file.write(bytes(8))
        file.flush()
    return mmap.mmap(file.fileno(), 8), file


def record(session: str, column: str, count: int) -> Statement:
    """The statement that stores how many rows of a writer were ``written``, or ``lost``."""
    return Statement(
        f"INSERT INTO {writers.name} (session, written, lost) VALUES (?, ?, ?)"
        f" ON CONFLICT (session) DO UPDATE SET {column} = excluded.{column}",
        (session, count if column == "written" else 0, count if column == "lost" else 0),
    )


def settle(database: Database, folder: Path) -> int:
    """Record the rows that dead writers of this machine accepted but did not commit; return all rows ever
    lost.
    """
    for path in folder.glob("*.accepted"):
        with suppress(FileNotFoundError), open(path, "rb") as file:  # another process may have removed it
            if not locks.acquire(file):
                continue  # its writer is alive
            accepted = int.from_bytes(file.read(8), "little")
            with database.writing(Turn.ANY) as connection:
                query = sa.select(writers.c.written).where(writers.c.session == path.stem)
                written = connection.execute(query).scalar() or 0
                execute(connection, [record(path.stem, "lost", max(0, accepted - written))], last=True)
            path.unlink()
    with database.reading() as connection:
        total = sa.select(sa.func.coalesce(sa.func.sum(writers.c.lost), 0))
        return int(connection.execute(total).scalar_one())
