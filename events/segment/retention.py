"""What the quarantine may hold, and for how long; the oldest messages are deleted first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from core.calendar import micros, moment
from core.errors import NothingThere
from core.settings import FeatureSettings
from core.storage.database import Database
from events.journal import quarantine

MEGABYTE = 1_000_000
KEPT_SHARE = 0.9
"""How full a quarantine is left that was too full, so that it is not pruned again for each message."""
_SIZE = sa.func.length(quarantine.c.message)  # the JSON is ASCII, so characters are bytes


@dataclass(frozen=True)
class QuarantineLimits:
    """How many messages the quarantine may hold, how large all together, and for how long."""

    events: int
    bytes: int
    age: timedelta

    @classmethod
    def of(cls, settings: FeatureSettings) -> QuarantineLimits:
        """The limits that the settings name."""
        age = timedelta(days=settings.quarantine_days)
        return cls(settings.quarantine_events, settings.quarantine_mb * MEGABYTE, age)


@dataclass(frozen=True)
class QuarantineSize:
    """How many messages the quarantine holds, how large all together, and since when; None if it is empty."""

    events: int
    bytes: int
    oldest: datetime | None

    def share_of(self, limits: QuarantineLimits) -> float:
        """How full the quarantine is: 1 at a limit."""
        return max(self.events / limits.events, self.bytes / limits.bytes)


@dataclass(frozen=True)
class Pruned:
    """How many messages were deleted since they were too old, and since there were too many."""

    expired: int
    surplus: int


def size(database: Database) -> QuarantineSize:
    """What the quarantine holds; nothing where there is no database."""
    statement = sa.select(
        sa.func.count(), sa.func.coalesce(sa.func.sum(_SIZE), 0), sa.func.min(quarantine.c.received_at_us)
    )
    try:
        with database.reading() as connection:
            events, total, oldest = connection.execute(statement).one()
    except NothingThere:
        return QuarantineSize(0, 0, None)
    return QuarantineSize(events, int(total), None if oldest is None else moment(oldest))


def prune(database: Database, limits: QuarantineLimits, now: datetime) -> Pruned:
    """Delete the messages that are older than the limit, and the oldest while there are too many.

    Raises:
        PatronError: the database cannot be used; nothing was deleted.
    """
    current = size(database)
    earliest = now - limits.age
    if current.oldest is None or (current.oldest >= earliest and current.share_of(limits) <= 1):
        return Pruned(0, 0)  # without the turn of those who write
    old = quarantine.c.received_at_us < micros(earliest)
    with database.writing() as connection:
        expired = connection.execute(sa.delete(quarantine).where(old)).rowcount
        surplus = 0
        if current.share_of(limits) > 1 and (newest := _newest_surplus(connection, limits)) is not None:
            surplus = connection.execute(sa.delete(quarantine).where(quarantine.c.id <= newest)).rowcount
    return Pruned(expired, surplus)


def _newest_surplus(connection: sa.Connection, limits: QuarantineLimits) -> int | None:
    """The newest message that does not fit with all newer ones; None if all fit."""
    newest_first = quarantine.c.id.desc()
    running = sa.select(
        quarantine.c.id,
        sa.func.count().over(order_by=newest_first).label("events"),
        sa.func.sum(_SIZE).over(order_by=newest_first).label("bytes"),
    ).subquery()
    too_many = running.c.events > KEPT_SHARE * limits.events
    too_large = running.c.bytes > KEPT_SHARE * limits.bytes
    statement = sa.select(sa.func.max(running.c.id)).where(too_many | too_large)
    newest: int | None = connection.execute(statement).scalar()
    return newest
