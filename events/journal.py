"""The journal: events that arrived over HTTP, durable and in order, until the lake holds them.

Each message is one row with its canonical events as JSON, numbered by ``seq``. The lake contains the
messages up to its ``compacted_seq``; a reader takes the lake and the messages after that number.

An older copy of the database may be restored beside a newer lake. Its counter is then below
``compacted_seq``, and readers would never see a message with a number in between. Every function that gives
out numbers therefore takes the lake's ``compacted_seq`` and raises the counter to it in its own transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

import ibis
import pyarrow as pa
import sqlalchemy as sa

from core.calendar import micros
from core.storage.database import METADATA, Database, Key, among, insert
from events.identity import assign, join, merges
from events.schema import SCHEMAS

_BATCH = 500
_DIGEST_BYTES = 16

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

Rows = Mapping[str, Sequence[Sequence[Any]]]
"""Per event table its rows: the values of ``SCHEMAS`` but the customer's key, moments in microseconds
since 1970 (UTC), decimals as text."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it will be kept.

    Attributes:
        message_id: what makes it count once.
        customer_id: whose events these are.
        joins: an id that means the same customer from now on, if the message says so; see
            :func:`events.identity.join`, for which it is ``earlier``.
        rows: its events.
    """

    message_id: str
    received_at: datetime
    customer_id: str
    joins: str | None = None
    rows: Rows = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that cannot be used.

    Attributes:
        reason: why, without personal data.
        message: as it came, JSON.
        message_id: what makes it count once; None where it has none.
    """

    received_at: datetime
    reason: str
    message: str
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of messages; all of it is durable."""

    new: int
    repeated: int
    refused: int


def append(
    database: Database, told: Sequence[Message], refused: Sequence[Refused] = (), *, compacted_seq: int
) -> Appended:
    """Store messages durably, and unusable ones in the quarantine; a repeated message id is stored once.

    Args:
        compacted_seq: the lake's; new messages get higher numbers. 0 if there is no lake.

    Raises:
        PatronError: the database cannot be used; none of them was kept.
    """
    # The first of equal ones.
    digests = {_digest(message.message_id): message for message in reversed(told)}
    with database.writing() as connection:
        known = _known(connection, list(digests))
        fresh = [message for digest, message in reversed(digests.items()) if digest not in known]
        if fresh:
            new = [{"digest": digest} for digest in digests if digest not in known]
            connection.execute(sa.insert(messages), new)
            _insert(connection, fresh, compacted_seq)
        if refused:
            connection.execute(insert(connection, quarantine).on_conflict_do_nothing(), _waiting(refused))
    return Appended(len(fresh), len(told) - len(fresh), len(refused))


def _waiting(refused: Sequence[Refused]) -> list[dict[str, Any]]:
    return [
        {
            "received_at_us": micros(one.received_at),
            "reason": one.reason,
            "message": one.message,
            "digest": None if one.message_id is None else _digest(one.message_id),
        }
        for one in refused
    ]


def _insert(connection: sa.Connection, fresh: Sequence[Message], compacted_seq: int) -> None:
    seq = max(_last(connection), compacted_seq)
    rows: list[dict[str, Any]] = []
    for joins, run in groupby(fresh, key=lambda message: message.joins is not None):
        together = list(run)
        keys = {} if joins else assign(connection, list(dict.fromkeys(m.customer_id for m in together)))
        for message in together:
            seq, at_us = seq + 1, micros(message.received_at)
            key = (
                keys[message.customer_id]
                if message.joins is None
                else join(connection, message.joins, message.customer_id, at_us, seq)
            )
            events = json.dumps(message.rows, ensure_ascii=False, separators=(",", ":"))
            rows.append({"seq": seq, "customer_key": key, "received_at_us": at_us, "events": events})
    connection.execute(sa.insert(journal), rows)
    _count(connection, seq)


def _count(connection: sa.Connection, seq: int) -> None:
    connection.execute(sa.delete(counter))
    connection.execute(sa.insert(counter), {"last_seq": seq})


def last(database: Database) -> int:
    """The number of the newest message; 0 where there was none."""
    with database.reading() as connection:
        return _last(connection)


def advance_to(database: Database, compacted_seq: int) -> int:
    """Raise the counter to the lake's ``compacted_seq`` if it is lower; returns the newest number."""
    newest = last(database)
    if newest < compacted_seq:
        with database.writing() as connection:
            newest = _advance_to(connection, compacted_seq)
    return newest


def _advance_to(connection: sa.Connection, compacted_seq: int) -> int:
    newest = _last(connection)
    if newest < compacted_seq:
        _count(connection, compacted_seq)
    return max(newest, compacted_seq)


def _last(connection: sa.Connection) -> int:
    return connection.execute(sa.select(counter.c.last_seq)).scalar() or 0


@dataclass(frozen=True)
class News:
    """What came after a number: up to which it reaches, and whom it is about.

    Attributes:
        merged: those who turned out to be somebody else; nobody asks for them again.
        received_at_us: when the latest of it was received, microseconds since 1970; 0 where there is none.
    """

    upto: int
    customer_keys: list[int]
    merged: list[int]
    received_at_us: int


def news(database: Database, after: int) -> News:
    """Whom the messages after a number are about, each customer once."""
    with database.reading() as connection:
        upto = _last(connection)
        within = journal.c.seq > after, journal.c.seq <= upto
        keys = connection.execute(sa.select(journal.c.customer_key).where(*within).distinct()).scalars()
        merged = connection.execute(
            sa.select(merges.c.customer_key).where(merges.c.seq > after, merges.c.seq <= upto).distinct()
        ).scalars().all()  # fmt: skip
        latest = connection.execute(sa.select(sa.func.max(journal.c.received_at_us)).where(*within)).scalar()
        return News(upto, sorted(set(keys) - set(merged)), sorted(merged), latest or 0)


def oldest(database: Database, after: int) -> int | None:
    """When the first message after a number was received, microseconds since 1970; None if none came."""
    asked = sa.select(journal.c.received_at_us).where(journal.c.seq > after).order_by(journal.c.seq).limit(1)
    with database.reading() as connection:
        found: int | None = connection.execute(asked).scalar()
        return found


def tail(
    database: Database, after: int, upto: int | None = None, customer_keys: Sequence[int] | None = None
) -> dict[str, pa.Table]:
    """The events after a number: per event table its rows, with the columns and types of ``SCHEMAS``.

    Args:
        upto: the last number. customer_keys: only these customers' own events.
    """
    asked = sa.select(journal.c.customer_key, journal.c.events).where(journal.c.seq > after)
    asked = asked if upto is None else asked.where(journal.c.seq <= upto)
    with database.reading() as connection:
        if customer_keys is not None:
            keys = [int(key) for key in customer_keys]
            asked = asked.where(among(connection, journal.c.customer_key, keys))
        found = connection.execute(asked.order_by(journal.c.seq)).all()
    return tables(found)


def tables(found: Iterable[Sequence[Any]]) -> dict[str, pa.Table]:
    """Rows of (customer_key, events as JSON) as event tables."""
    rows: dict[str, list[list[Any]]] = {name: [] for name in SCHEMAS}
    for key, events in found:
        for name, told in json.loads(events).items():
            rows[name] += [[key, *row] for row in told]
    return {name: _table(name, told) for name, told in rows.items()}


def _table(name: str, rows: list[list[Any]]) -> pa.Table:
    schema = ibis.schema(SCHEMAS[name]).to_pyarrow()
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [_array(values, column.type) for column, values in zip(schema, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: Sequence[Any], dtype: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(dtype):
        values = [None if value is None else Decimal(value) for value in values]
    return pa.array(values, dtype)


def forget(database: Database, upto: int) -> None:
    """Drop the messages up to a number, which the lake holds; their ids are still known."""
    with database.writing() as connection:
        connection.execute(sa.delete(journal).where(journal.c.seq <= upto))


def arrived(database: Database) -> int:
    """How many messages were ever kept, also those that the lake holds by now."""
    with database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(messages)).scalar_one()


def clear(connection: sa.Connection, compacted_seq: int) -> int:
    """Delete all messages, for a new shop; returns the newest number, after which numbering continues.

    Args:
        compacted_seq: the replaced lake's; 0 if there is none.
    """
    for emptied in (journal, messages, quarantine):
        connection.execute(sa.delete(emptied))
    return _advance_to(connection, compacted_seq)


def _known(connection: sa.Connection, digests: Sequence[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for start in range(0, len(digests), _BATCH):
        batch = digests[start : start + _BATCH]
        found |= set(connection.execute(sa.select(messages).where(messages.c.digest.in_(batch))).scalars())
    return found


def _digest(message_id: str) -> bytes:
    return hashlib.sha256(message_id.encode()).digest()[:_DIGEST_BYTES]
