"""How many predictions were lost with killed writers of the score log.

A writer counts the rows that it accepts in a locked, memory-mapped file, which outlives a killed process. The
log's table has the number of rows that it committed. Once its lock is free, the difference is lost.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from core import files, locks
from core.storage.connections import Turn
from core.storage.database import Database, insert
from records.tables import writers


def open_counter(path: Path) -> tuple[mmap.mmap, BinaryIO]:
    """A new counter of eight bytes, little-endian; the lock on its file shows that the writer lives."""
    with files.replacing(path) as draft:  # named once it is locked, or another process could count it as dead
        file = open(draft, "w+b")  # noqa: SIM115 - open for the writer's life
        locks.acquire(file)
        file.write(bytes(8))
        file.flush()
    return mmap.mmap(file.fileno(), 8), file


def record(connection: sa.Connection, session: str, counts: Mapping[str, Any]) -> None:
    """Store how many rows of a writer were ``written``, or ``lost``."""
    row = {"session": session, "written": 0, "lost": 0} | dict(counts)
    statement = insert(connection, writers).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=["session"], set_=dict(counts)))


def settle(database: Database, folder: Path) -> int:
    """Record what killed writers of this machine accepted and did not commit; returns all rows ever lost."""
    for path in folder.glob("*.accepted"):
        with suppress(FileNotFoundError), open(path, "rb") as file:  # another process may be faster
            if not locks.acquire(file):
                continue  # its writer lives
            accepted = int.from_bytes(file.read(8), "little")
            with database.writing(Turn.ANY) as connection:
                query = sa.select(writers.c.written).where(writers.c.session == path.stem)
                written = connection.execute(query).scalar() or 0
                record(connection, path.stem, {"lost": max(0, accepted - written)})
            path.unlink()
    with database.reading() as connection:
        total = sa.select(sa.func.coalesce(sa.func.sum(writers.c.lost), 0))
        return int(connection.execute(total).scalar_one())
