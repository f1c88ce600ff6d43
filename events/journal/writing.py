"""Appending messages to the journal, and deleting those that the lake contains."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from core.calendar import micros
from core.storage.database import Database, insert
from events.identity import assign, join
from events.journal.message import Message, Refused
from events.journal.reading import last
from events.journal.schema import counter, journal, messages, newest, quarantine

_BATCH = 500
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of messages; all of it is durable."""

    new: int
    repeated: int
    refused: int


def append(
    database: Database, arrived: Sequence[Message], refused: Sequence[Refused] = (), *, compacted_seq: int
) -> Appended:
    """Store messages durably, and unusable ones in the quarantine; a repeated message id is stored once.

    Args:
        compacted_seq: the lake's; new messages get higher numbers. 0 if there is no lake.

    Raises:
        PatronError: the database cannot be used; none of them was kept.
    """
    # The first of equal ones.
    digests = {_digest(message.message_id): message for message in reversed(arrived)}
    with database.writing() as connection:
        known = _known(connection, list(digests))
        fresh = [message for digest, message in reversed(digests.items()) if digest not in known]
        if fresh:
            new = [{"digest": digest} for digest in digests if digest not in known]
            connection.execute(sa.insert(messages), new)
            _insert(connection, fresh, compacted_seq)
        if refused:
            connection.execute(insert(connection, quarantine).on_conflict_do_nothing(), _quarantined(refused))
    return Appended(len(fresh), len(arrived) - len(fresh), len(refused))


def _quarantined(refused: Sequence[Refused]) -> list[dict[str, Any]]:
    return [
        {
            "received_at_us": micros(message.received_at),
            "reason": message.reason,
            "message": message.message,
            "digest": None if message.message_id is None else _digest(message.message_id),
        }
        for message in refused
    ]


def _insert(connection: sa.Connection, fresh: Sequence[Message], compacted_seq: int) -> None:
    seq = max(newest(connection), compacted_seq)
    rows: list[dict[str, Any]] = []
    for joins, run in groupby(fresh, key=lambda message: message.joins is not None):
        batch = list(run)
        keys = {} if joins else assign(connection, list(dict.fromkeys(m.customer_id for m in batch)))
        for message in batch:
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


def advance_to(database: Database, compacted_seq: int) -> int:
    """Raise the counter to the lake's ``compacted_seq`` if it is lower; returns the newest number."""
    seq = last(database)
    if seq < compacted_seq:
        with database.writing() as connection:
            seq = _advance_to(connection, compacted_seq)
    return seq


def _advance_to(connection: sa.Connection, compacted_seq: int) -> int:
    seq = newest(connection)
    if seq < compacted_seq:
        _count(connection, compacted_seq)
    return max(seq, compacted_seq)


def forget(database: Database, upto: int) -> None:
    """Drop the messages up to a number, which the lake holds; their ids are still known."""
    with database.writing() as connection:
        connection.execute(sa.delete(journal).where(journal.c.seq <= upto))


def clear(connection: sa.Connection, compacted_seq: int) -> int:
    """Delete all messages, for a new shop; returns the newest number, after which numbering continues.

    Args:
        compacted_seq: the replaced lake's; 0 if there is none.
    """
    for emptied in (journal, messages, quarantine):
        connection.execute(sa.delete(emptied))
    return _advance_to(connection, compacted_seq)


def _known(connection: sa.Connection, digests: Sequence[bytes]) -> set[bytes]:
    known: set[bytes] = set()
    for start in range(0, len(digests), _BATCH):
        batch = digests[start : start + _BATCH]
        known |= set(connection.execute(sa.select(messages).where(messages.c.digest.in_(batch))).scalars())
    return known


def _digest(message_id: str) -> bytes:
    return hashlib.sha256(message_id.encode()).digest()[:_DIGEST_BYTES]
