"""Idempotency keys: a request that is sent again with its key starts no second job.

The IETF draft "The Idempotency-Key HTTP Header Field" describes the header. A key belongs to the API key that
sent it and to one operation, and is remembered for ``LIFETIME``.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from core.errors import PatronError
from core.storage.connections import Turn
from core.storage.database import Database, insert
from records.tables import idempotency_keys as table

LIFETIME = timedelta(hours=24)
LEASE_S = 600.0
"""Time to create a job; after it the process that reserved the key is taken to be dead."""


class KeyReused(PatronError):
    """The key came with another request before."""


@dataclass(frozen=True)
class RequestKey:
    """A request with its idempotency key.

    Attributes:
        caller: the name of the API key; empty without keys.
        operation: the route's operation id.
        digest: of the request's content.
    """

    caller: str
    operation: str
    key: str
    digest: bytes


@dataclass(frozen=True)
class Reservation:
    """The job of a request.

    Attributes:
        mine: whether this request has to create the job, unless the job exists.
        created: whether the job was created, and recorded as such; it may have been deleted since.
    """

    job_id: str
    mine: bool
    created: bool


class IdempotencyKeys:
    """The idempotency keys of a home, in its database; processes share them.

    Args:
        clock: wall time in seconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    def reserve(self, request: RequestKey) -> Reservation:
        """Reserve the key for this request, or return the job of the request that came first.

        The one that reserves it calls :meth:`complete` or :meth:`release`. Without either for ``LEASE_S``,
        the next request has to create the job, with the same id.

        Raises:
            KeyReused: the key came with another request.
            PatronError: the database cannot be used.
        """
        now, job_id = self._clock(), uuid.uuid4().hex
        row = {
            "caller": request.caller, "operation": request.operation, "key": request.key,
            "digest": request.digest, "job_id": job_id, "at_s": now, "created": False,
        }  # fmt: skip
        with self._database.writing(Turn.ANY) as connection:
            connection.execute(sa.delete(table).where(table.c.at_s < now - LIFETIME.total_seconds()))
            # A concurrent insertion of the key waits for this transaction, and then inserts nothing.
            statement = insert(connection, table).values(row).on_conflict_do_nothing()
            if connection.execute(statement.returning(table.c.job_id)).first() is not None:
                return Reservation(job_id, mine=True, created=False)
            known = connection.execute(sa.select(table).where(*_is(request)).with_for_update()).one_or_none()
            if known is None:  # released just now
                return Reservation(job_id, mine=False, created=False)
            if bytes(known.digest) != request.digest:
                raise KeyReused("this key came with another request; use a new key for this one")
            dead = not known.created and known.at_s < now - LEASE_S
            if dead:
                connection.execute(sa.update(table).where(*_is(request)).values(at_s=now))
            return Reservation(known.job_id, mine=dead, created=known.created)

    def complete(self, request: RequestKey) -> None:
        """Record that the job was created."""
        with self._database.writing(Turn.ANY) as connection:
            connection.execute(sa.update(table).where(*_is(request)).values(created=True))

    def release(self, request: RequestKey) -> None:
        """Forget the key of a request that created no job, so that it can be sent again."""
        with self._database.writing(Turn.ANY) as connection:
            connection.execute(sa.delete(table).where(*_is(request), table.c.created.is_(False)))


def _is(request: RequestKey) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        table.c.caller == request.caller,
        table.c.operation == request.operation,
        table.c.key == request.key,
    )
