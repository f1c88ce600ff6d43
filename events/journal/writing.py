"""Appending messages to the journal, and deleting those that the lake contains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.calendar import micros
from core.storage import batches
from core.storage.batches import Insert, Lookup, Statement
from core.storage.database import Database, insert
from events import identity
from events.journal import usual_batch
from events.journal.batch_owners import BatchOwners, named_ids
from events.journal.deduplication import JournalEntry, message_digest, new_entries, stored_lookup
from events.journal.message import Message, Refused
from events.journal.reading import last
from events.journal.schema import conflicts, counter, journal, messages, newest, quarantine

_NEWEST = "SELECT last_seq FROM journal_counter"
_NUMBER = "INSERT INTO journal_counter VALUES (?)"  # before any message came
_RENUMBER = "UPDATE journal_counter SET last_seq = ?"


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of messages; all of it is durable.

    Attributes:
        conflicts: how many of the new ones came with the id of a message whose body is another.
    """

    new: int
    repeated: int
    refused: int
    conflicts: int = 0


def append(
    database: Database,
    arrived: Sequence[Message],
    refused: Sequence[Refused] = (),
    *,
    compacted_seq: int,
    last_key: int = 0,
) -> Appended:
    """Store messages durably, and unusable ones in the quarantine; a repeated message id is stored once.

    A message whose id came before with another body is no repetition. It gets an id of its own and counts.

    Args:
        compacted_seq: the lake's; new messages get higher numbers. 0 if there is no lake.
        last_key: the lake's; new customers get higher keys.

    Raises:
        PatronError: the database cannot be used; none of them was kept.
    """
    # Before the transaction, for which other processes wait.
    digests = [message_digest(message.message_id) for message in arrived]
    entries = [JournalEntry.of(message) for message in arrived]
    if database.on_postgres and not refused and usual_batch.store(database, digests, entries, compacted_seq):
        return Appended(len(entries), 0, 0)
    lookups = [stored_lookup(digests), identity.owners_lookup(list(named_ids(arrived))), Lookup(_NEWEST)]
    with database.writing_after(lookups) as (connection, (stored, owners, numbered)):
        fresh, conflicting = new_entries(connection, dict(stored), digests, entries)
        doubts = (entry.message.doubt for entry in fresh.values())
        refused = [*refused, *(doubt for doubt in doubts if doubt is not None)]
        if refused:
            connection.execute(insert(connection, quarantine).on_conflict_do_nothing(), _quarantined(refused))
        changes: list[Insert | Statement] = []
        if fresh:
            batch = [entry.message for entry in fresh.values()]
            people = BatchOwners(connection, batch, identity.owners_of(owners), last_key)
            seq = max([compacted_seq, *(row[0] for row in numbered)])
            changes = [
                Insert(messages, [(digest, entry.message.content) for digest, entry in fresh.items()]),
                Insert(journal, _numbered(people, list(fresh.values()), seq + 1)),
                Statement(_RENUMBER if numbered else _NUMBER, (seq + len(batch),)),
            ]
        if conflicting:
            changes.append(Insert(conflicts, [(digest,) for digest in conflicting]))
        batches.execute(connection, changes, last=True)
    return Appended(len(fresh), len(arrived) - len(fresh), len(refused), len(conflicting))


def count_conflicts(database: Database) -> int:
    """How many messages came with the id of another message."""
    with database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(conflicts)).scalar_one()


def split(
    database: Database, customer_id: str, at: datetime, *, compacted_seq: int, last_key: int = 0
) -> identity.IdentitySplit:
    """Undo a merge from a moment on; both customers come into the journal, so that readers learn of it.

    Args:
        compacted_seq, last_key: as of :func:`append`.

    Raises:
        PatronError: the id is unknown, or it was never merged; nothing was changed.
    """
    with database.writing() as connection:
        seq, at_us = max(newest(connection), compacted_seq) + 1, micros(at)
        identity.reserve(connection, last_key)
        done = identity.split(connection, customer_id, at_us, seq)
        rows = [
            {"seq": seq + i, "customer_key": key, "received_at_us": at_us, "events": "{}"}
            for i, key in enumerate((done.customer_key, done.other))
        ]
        connection.execute(sa.insert(journal), rows)
        _count(connection, seq + 1)
    return done


def _quarantined(refused: Sequence[Refused]) -> list[dict[str, Any]]:
    return [
        {
            "received_at_us": micros(message.received_at),
            "reason": message.reason,
            "message": message.message,
            "digest": None
            if message.message_id is None
            else message_digest(message.message_id + message.content.hex()),
        }
        for message in refused
    ]


def _numbered(
    people: BatchOwners, fresh: Sequence[JournalEntry], first_seq: int
) -> list[tuple[int, int, int, str]]:
    """The rows of messages in the journal; their ids are joined, and their customers get keys."""
    batch = [entry.message for entry in fresh]
    rows: list[tuple[int, int, int, str]] = []
    for i, (message, events) in enumerate(fresh):
        seq, at_us = first_seq + i, micros(message.received_at)
        if people.joins(message):
            people.join(message, at_us, seq)
        elif message.customer_id not in people.known:
            people.assign(batch[i:])
        rows.append((seq, people.known[message.customer_id].stored_under, at_us, events))
    return rows


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


def reserve_number(database: Database) -> int:
    """A number after those of all messages so far, which no message gets."""
    with database.writing() as connection:
        seq = newest(connection) + 1
        _count(connection, seq)
    return seq


def forget(database: Database, upto: int) -> None:
    """Drop the messages up to a number, which the lake holds; their ids are still known."""
    with database.writing() as connection:
        connection.execute(sa.delete(journal).where(journal.c.seq <= upto))


def clear(connection: sa.Connection, compacted_seq: int) -> int:
    """Delete all messages, for a new shop; returns the newest number, after which numbering continues.

    Args:
        compacted_seq: the replaced lake's; 0 if there is none.
    """
    for emptied in (journal, messages, conflicts, quarantine):
        connection.execute(sa.delete(emptied))
    return _advance_to(connection, compacted_seq)


def count_stored(connection: sa.Connection) -> int:
    """The number of messages that :func:`clear` would delete."""
    counts = (sa.select(sa.func.count()).select_from(table) for table in (messages, quarantine))
    return sum(connection.execute(count).scalar_one() for count in counts)


def before_first(connection: sa.Connection) -> int:
    """The number before the first message that is still in the journal; the newest one if none is."""
    first: int | None = connection.execute(sa.select(sa.func.min(journal.c.seq))).scalar()
    return newest(connection) if first is None else first - 1
