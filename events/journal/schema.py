"""The journal's tables: messages that arrived, their ids, and those that could not be used."""

from __future__ import annotations

import sqlalchemy as sa

from core.storage.database import METADATA, Key

journal = sa.Table(
    "journal",
    METADATA,
    sa.Column("seq", Key, primary_key=True, autoincrement=False),
    sa.Column("customer_key", Key, nullable=False, index=True),
    sa.Column("received_at_us", sa.BigInteger, nullable=False),
    sa.Column("events", sa.Text, nullable=False),
)
# One row: a number is never given twice, also after what bore it has left the journal.
counter = sa.Table("journal_counter", METADATA, sa.Column("last_seq", Key, nullable=False))
messages = sa.Table(
    "messages",
    METADATA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("content", sa.LargeBinary),  # null of messages that an earlier release stored
    sqlite_with_rowid=False,
)
# Messages whose id had come before with another body; each is stored under an id of its own.
conflicts = sa.Table(
    "message_conflicts",
    METADATA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)
quarantine = sa.Table(
    "quarantine",
    METADATA,
    sa.Column("id", Key, primary_key=True, autoincrement=True),
    sa.Column("received_at_us", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),  # as it came, JSON
    sa.Column("digest", sa.LargeBinary),
    sa.Index("quarantine_by_digest", "digest", unique=True),
    sqlite_autoincrement=True,
)


def newest(connection: sa.Connection) -> int:
    """The number of the newest message; 0 if there was none."""
    return connection.execute(sa.select(counter.c.last_seq)).scalar() or 0
