"""Messages that could not be used: they wait here, as they came, for somebody to look at them.

Whoever lists them sees reasons and no personal data; one that is asked for by its number is shown whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.calendar import moment
from core.errors import NothingThere
from core.storage.database import Database
from events.journal import Message, Refused, append, partial_id, quarantine
from events.journal.deduplication import message_digest
from events.segment.translate import Place, translate

_BATCH = 500


@dataclass(frozen=True)
class ReasonCount:
    """Why messages cannot be used, how many, and between which moments (UTC) they arrived."""

    reason: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Entry:
    """A message in the quarantine, without what it says."""

    id: int
    received_at: datetime
    reason: str


@dataclass(frozen=True)
class Replayed:
    """What became of messages that were tried again."""

    accepted: int
    refused: int


def reasons(database: Database) -> list[ReasonCount]:
    """Why messages cannot be used, the most frequent reason first."""
    count, at = sa.func.count(), quarantine.c.received_at_us
    statement = sa.select(quarantine.c.reason, count, sa.func.min(at), sa.func.max(at))
    statement = statement.group_by(quarantine.c.reason).order_by(count.desc(), quarantine.c.reason)
    with database.reading() as connection:
        rows = connection.execute(statement).all()
    return [ReasonCount(reason, n, moment(first), moment(last)) for reason, n, first, last in rows]


def entries(database: Database, most: int) -> list[Entry]:
    """The newest messages, the newest first."""
    statement = sa.select(quarantine.c.id, quarantine.c.received_at_us, quarantine.c.reason)
    with database.reading() as connection:
        rows = connection.execute(statement.order_by(quarantine.c.id.desc()).limit(most)).all()
    return [Entry(id, moment(at), reason) for id, at, reason in rows]


def show(database: Database, id: int) -> tuple[Entry, Any]:
    """One message whole: it may hold personal data.

    Raises:
        NothingThere: there is no such message.
    """
    with database.reading() as connection:
        row = connection.execute(sa.select(quarantine).where(quarantine.c.id == id)).one_or_none()
    if row is None:
        raise _unknown(id)
    return Entry(row.id, moment(row.received_at_us), row.reason), json.loads(row.message)


def replay(database: Database, place: Place, *, compacted_seq: int, last_key: int = 0) -> Replayed:
    """Try all again; those that can be used now are kept as of when they were received.

    Killed in between, it may be run again: what was kept counts once.

    Args:
        compacted_seq, last_key: the lake's, see :func:`events.journal.append`.
    """
    after, accepted, refused = 0, 0, 0
    while rows := _after(database, after):
        after = rows[-1].id
        read = {row.id: _again(row, place) for row in rows}
        fitting = {id: message for id, message in read.items() if isinstance(message, Message)}
        if fitting:
            append(database, list(fitting.values()), compacted_seq=compacted_seq, last_key=last_key)
            drop(database, fitting)
        accepted, refused = accepted + len(fitting), refused + len(read) - len(fitting)
    return Replayed(accepted, refused)


def _again(row: sa.Row[Any], place: Place) -> Message | Refused:
    """A message of the quarantine read again.

    One of which a part was used already is used once all of it can be, as a version of its order of its own.
    """
    message = translate(json.loads(row.message), moment(row.received_at_us), place)
    if isinstance(message, Message) and row.digest == message_digest(partial_id(message.message_id)):
        if message.doubt is not None:
            return message.doubt
        return replace(message, message_id=partial_id(message.message_id))
    return message


def drop(database: Database, ids: Iterable[int] | None = None) -> int:
    """Forget messages, all by default; returns how many.

    Raises:
        NothingThere: one of them is not there; none was forgotten.
    """
    with database.writing() as connection:
        if ids is None:
            return connection.execute(sa.delete(quarantine)).rowcount
        statement = sorted(set(ids))
        for id in statement:
            if not connection.execute(sa.delete(quarantine).where(quarantine.c.id == id)).rowcount:
                raise _unknown(id)
    return len(statement)


def _after(database: Database, id: int) -> Sequence[sa.Row[Any]]:
    statement = sa.select(quarantine).where(quarantine.c.id > id).order_by(quarantine.c.id).limit(_BATCH)
    with database.reading() as connection:
        return connection.execute(statement).all()


def _unknown(id: int) -> NothingThere:
    return NothingThere(
        f"no message {id} is in the quarantine; `patron quarantine list` shows those that are"
    )
