"""The lasting holdout as stored: its phases, and which customers take part since when.

A *rotation* is a draw of the holdout. Within a rotation, a customer's draw never changes; the share may, and
begins another *phase*. :mod:`decisions.holdout` says who belongs to the holdout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from core.calendar import micros, moment
from core.storage.database import among, insert
from records.decisions import DecisionLog
from records.tables import holdout_draws, holdout_phases


@dataclass(frozen=True)
class HoldoutPhase:
    """A span of time in which the holdout is a share of the customers.

    Attributes:
        at: its start, by the shop's clock; it ends where the next one starts.
        rotation: the number of the draw, from 1.
    """

    at: datetime
    rotation: int
    share: float


@dataclass(frozen=True)
class Enrolment:
    """A customer's part in a rotation.

    Attributes:
        at: the moment of the first decision in the rotation. day: the shop's day of ``at``.
        draw: a uniform number in [0, 1).
    """

    customer_key: int
    at: datetime
    day: int
    draw: float


def phases(log: DecisionLog) -> list[HoldoutPhase]:
    """All phases, in order."""
    with log.reading() as connection:
        return _phases(connection)


def current(log: DecisionLog, now: datetime) -> HoldoutPhase | None:
    """The phase of a moment; None before the first one."""
    row = log.database.first(_CURRENT, (micros(now),))
    return None if row is None else HoldoutPhase(moment(row[0]), row[1], row[2])


def phase_at(in_order: Iterable[HoldoutPhase], now: datetime) -> HoldoutPhase | None:
    """The last of these phases that has started."""
    started = [phase for phase in in_order if phase.at <= now]
    return started[-1] if started else None


def declare(log: DecisionLog, share: float, start: datetime, now: datetime) -> None:
    """Begin a phase at ``start`` if the share differs from the last one's; the past is never changed.

    A phase that was declared but has not started is replaced.
    """
    if _as_declared(phases(log), share, start, now):
        return
    with log.writing() as connection:
        stored = _phases(connection)
        if _as_declared(stored, share, start, now):
            return
        connection.execute(sa.delete(holdout_phases).where(holdout_phases.c.at_us > micros(now)))
        started = [phase for phase in stored if phase.at <= now]
        last = started[-1] if started else HoldoutPhase(now, 1, 0.0)
        if last.share != share:
            row = {"at_us": micros(max(start, now)), "rotation": last.rotation, "share": share}
            connection.execute(sa.insert(holdout_phases), row)


def rotate(log: DecisionLog, now: datetime) -> HoldoutPhase | None:
    """Draw the holdout anew from now on, with the same share; None if there is no holdout."""
    with log.writing() as connection:
        last = phase_at(_phases(connection), now)
        if last is None or last.share == 0:
            return None
        row = {"at_us": micros(now), "rotation": last.rotation + 1, "share": last.share}
        connection.execute(sa.insert(holdout_phases), row)
    return HoldoutPhase(now, last.rotation + 1, last.share)


def enrolled(
    log: DecisionLog, keys: Sequence[int], merged: Mapping[int, Sequence[int]], rotation: int
) -> dict[int, Enrolment]:
    """The enrolments of those of these customers who have one.

    Args:
        merged: the keys of the customers who were merged into a customer.
    """
    with log.reading() as connection:
        return _enrolled(connection, keys, merged, rotation)


def enrol(connection: sa.Connection, rotation: int, new: Iterable[Enrolment]) -> None:
    """Enrol customers in a rotation; those who are enrolled already keep what is stored."""
    rows = [
        {
            "rotation": rotation, "customer_key": e.customer_key, "at_us": micros(e.at), "day": e.day,
            "draw": e.draw,
        }
        for e in new
    ]  # fmt: skip
    if rows:
        connection.execute(insert(connection, holdout_draws).on_conflict_do_nothing(), rows)


def enrolments(log: DecisionLog, rotation: int, merged: Mapping[int, Sequence[int]]) -> list[Enrolment]:
    """Everybody who takes part in a rotation, each person once, under the key that the person has now.

    Args:
        merged: the keys of the customers who were merged into a customer.
    """
    with log.reading() as connection:
        rows = connection.execute(_DRAWS.where(holdout_draws.c.rotation == rotation))
        own = {row[0]: Enrolment(row[0], moment(row[1]), row[2], row[3]) for row in rows}
    gone = {key for into in merged.values() for key in into}
    persons = [key for key in {*own, *merged} if key not in gone]
    return [e for key in sorted(persons) if (e := _first(key, own, merged)) is not None]


_CURRENT = "SELECT at_us, rotation, share FROM holdout_phases WHERE at_us <= ? ORDER BY n DESC LIMIT 1"
_DRAWS = sa.select(
    holdout_draws.c.customer_key, holdout_draws.c.at_us, holdout_draws.c.day, holdout_draws.c.draw
)


def _phases(connection: sa.Connection) -> list[HoldoutPhase]:
    rows = connection.execute(sa.select(holdout_phases).order_by(holdout_phases.c.n))
    return [HoldoutPhase(moment(row.at_us), row.rotation, row.share) for row in rows]


def _as_declared(stored: Sequence[HoldoutPhase], share: float, start: datetime, now: datetime) -> bool:
    last = stored[-1] if stored else None
    if last is None:
        return share == 0
    return last.share == share and (last.at <= now or last.at == start)


def _enrolled(
    connection: sa.Connection, keys: Sequence[int], merged: Mapping[int, Sequence[int]], rotation: int
) -> dict[int, Enrolment]:
    group = sorted({*keys, *(other for key in keys for other in merged.get(key, ()))})
    where = holdout_draws.c.rotation == rotation, among(connection, holdout_draws.c.customer_key, group)
    rows = connection.execute(_DRAWS.where(*where))
    own = {row[0]: Enrolment(row[0], moment(row[1]), row[2], row[3]) for row in rows}
    firsts = {key: _first(key, own, merged) for key in keys}
    return {key: first for key, first in firsts.items() if first is not None}


def _first(key: int, own: Mapping[int, Enrolment], merged: Mapping[int, Sequence[int]]) -> Enrolment | None:
    """A person's enrolment: the earliest by day of those who were merged; on one day the person's own."""
    candidates = [own[other] for other in (key, *merged.get(key, ())) if other in own]
    if not candidates:
        return None
    first = min(candidates, key=lambda e: (e.day, e.customer_key != key, e.at, e.customer_key))
    return Enrolment(key, first.at, first.day, first.draw)
