"""What decisions use of budgets: contacts and money, within a transaction of the decision log.

A decision with an action uses a contact and its expected money, from the moment when it reserves its place.
It gives both back when the reservation is over, or given back, and nothing was sent. ``spending`` has a row
per decision, in one of three states: ``reserved``, ``used`` once it is a contact, and ``free`` once it was
given back. ``spent`` contains the sums of the first two by day and action, and changes in the same
transaction. Transactions that decide are serialised (:class:`core.storage.connections.Turn`), so no two of
them use the same money.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, cast

import sqlalchemy as sa

from core.calendar import micros
from core.storage.database import among, insert
from records.contacts.contact import ContactReservation
from records.contacts.tables import contacts, spending, spent

RESERVED, USED, FREE = "reserved", "used", "free"
MICROS = 1_000_000
BATCH, MAX_OVER = 10_000, 10_000
SpentKey: TypeAlias = tuple[int, str, str, str]
_BEGINNING = -1
_KEY = ("rules", "day", "action", "action_group", "channel")
_COUNTED = (*_KEY, "contacts", "money_micros")
_SUMS = (sa.func.sum(spent.c.contacts), sa.func.sum(spent.c.money_micros))


@dataclass(frozen=True, slots=True)
class SpentRow:
    """What an action used from a day on, until the next day that is listed.

    Attributes:
        since: the shop's day; before the first listed one -1.
        name, group, channel: of the action, as they were when it was decided.
        money: currency.
    """

    since: int
    name: str
    group: str | None
    channel: str
    contacts: int
    money: float


class Spent:
    """What was used so far, with what the transaction uses itself.

    Args:
        now: by the shop's clock.
        days: the days on which something begins that is counted by itself; None to read nothing.
        rules: only decisions by the rules of this digest; None for all.
        reading: whether the connection only reads; then what is over is left out and not given back.
    """

    def __init__(
        self,
        connection: sa.Connection,
        now: datetime,
        days: Sequence[int] | None,
        rules: str | None = None,
        *,
        reading: bool = False,
    ) -> None:
        self._connection, self._reading = connection, reading
        self._days = None if days is None else sorted(days)
        self._rows: dict[SpentKey, tuple[int, int]] = {}
        if not reading:
            _give_back_over(connection, now)
        if self._days is None:
            return
        self._add_sums(_sums(self._days, rules))
        if reading:
            self._add_sums(_over_sums(self._days, now, rules), sign=-1)

    @property
    def rows(self) -> list[SpentRow]:
        """What was used."""
        return [
            SpentRow(since, name, group or None, channel, number, money / MICROS)
            for (since, name, group, channel), (number, money) in self._rows.items()
        ]

    def reserve(self, decision_id: str, rules: str, reservation: ContactReservation | None) -> None:
        """Count what a decision reserves; only in memory where the connection only reads.

        Args:
            rules: the digest of the rules by which it was decided.
        """
        if reservation is None or reservation.day is None:
            return
        row = {
            "rules": rules, "day": reservation.day, "action": reservation.action,
            "action_group": reservation.group or "", "channel": reservation.channel,
            "money_micros": round(reservation.money * MICROS),
        }  # fmt: skip
        if not self._reading:
            state = {"decision_id": decision_id, "until_us": micros(reservation.until), "state": RESERVED}
            self._connection.execute(sa.insert(spending), row | state)
            _count(self._connection, [row | {"contacts": 1}])
        if self._days is not None:
            since = max((day for day in self._days if day <= reservation.day), default=_BEGINNING)
            key = since, reservation.action, reservation.group or "", reservation.channel
            self._add(key, 1, round(reservation.money * MICROS))

    def _add_sums(self, query: sa.Select[Any], sign: int = 1) -> None:
        for *key, number, money in self._connection.execute(query):
            self._add(cast(SpentKey, tuple(key)), sign * int(number), sign * int(money))

    def _add(self, key: SpentKey, number: int, money: int) -> None:
        before = self._rows.get(key, (0, 0))
        self._rows[key] = before[0] + number, before[1] + money


def use(connection: sa.Connection, decision_ids: Iterable[str]) -> None:
    """Count decisions that became contacts; those that had been given back count again."""
    _change(connection, decision_ids, USED)


def give_back(connection: sa.Connection, decision_ids: Iterable[str]) -> None:
    """Count decisions no more that became no contact."""
    _change(connection, decision_ids, FREE)


def undo(connection: sa.Connection, decision_ids: Iterable[str]) -> None:
    """Make decisions whose contacts were undone reservations again; they may be over."""
    _change(connection, decision_ids, RESERVED)


def _change(connection: sa.Connection, decision_ids: Iterable[str], state: str) -> None:
    listed = list(decision_ids)
    for start in range(0, len(listed), BATCH):
        ids = listed[start : start + BATCH]
        changed = (among(connection, spending.c.decision_id, ids), spending.c.state != state)
        counting = FREE if state != FREE else None  # None: those that count now
        _count_rows(connection, changed, 1 if counting else -1, counting)
        values = {"state": state} | ({"until_us": 0} if state == FREE else {})
        connection.execute(sa.update(spending).where(*changed).values(values))


def _count_rows(
    connection: sa.Connection, those: Iterable[sa.ColumnElement[bool]], sign: int, state: str | None
) -> None:
    """Add decisions to the sums, or subtract them.

    Args:
        state: only those in this state; None for those that count.
    """
    columns = [spending.c[name] for name in _KEY]
    wanted = spending.c.state != FREE if state is None else spending.c.state == state
    query = sa.select(*columns, sa.func.count(), sa.func.sum(spending.c.money_micros))
    rows = connection.execute(query.where(*those, wanted).group_by(*columns)).all()
    _count(
        connection,
        [dict(zip(_COUNTED, (*row[:-2], sign * row[-2], sign * int(row[-1])), strict=True)) for row in rows],
    )


def _count(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add to the sums."""
    if not rows:
        return
    statement = insert(connection, spent)
    added = {name: spent.c[name] + statement.excluded[name] for name in ("contacts", "money_micros")}
    connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=added), rows)


def _is_over(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        spending.c.state == RESERVED,
        spending.c.until_us <= micros(now),
        ~sa.exists().where(contacts.c.decision_id == spending.c.decision_id),
    )


def _give_back_over(connection: sa.Connection, now: datetime) -> None:
    """Give back what is over, up to ``MAX_OVER`` decisions at a time; until then the others count."""
    some = sa.select(spending.c.decision_id).where(*_is_over(now)).limit(MAX_OVER)
    ids = connection.execute(some).scalars().all()
    if ids:
        _change(connection, ids, FREE)


def _sums(days: Sequence[int], rules: str | None) -> sa.Select[Any]:
    since = _since(spent.c.day, days)
    query = sa.select(since, spent.c.action, spent.c.action_group, spent.c.channel, *_SUMS)
    query = query.group_by(since, spent.c.action, spent.c.action_group, spent.c.channel)
    return query if rules is None else query.where(spent.c.rules == rules)


def _over_sums(days: Sequence[int], now: datetime, rules: str | None) -> sa.Select[Any]:
    since = _since(spending.c.day, days)
    sums = (sa.func.count(), sa.func.sum(spending.c.money_micros))
    query = sa.select(since, spending.c.action, spending.c.action_group, spending.c.channel, *sums)
    query = query.where(*_is_over(now))
    query = query.group_by(since, spending.c.action, spending.c.action_group, spending.c.channel)
    return query if rules is None else query.where(spending.c.rules == rules)


def _since(day: sa.ColumnElement[int], days: Sequence[int]) -> sa.ColumnElement[int]:
    """The last of the days that is not after a day; -1 before the first."""
    numbers = [sa.literal_column(str(first), sa.Integer) for first in (*reversed(days), _BEGINNING)]
    return sa.case(*((day >= first, first) for first in numbers), else_=sa.literal_column(str(_BEGINNING)))
