"""The ledger of contacts, within a transaction of the decision log.

Limits count the contacts of a customer, and the reservations that are valid: those whose time is not over
and that became no contact. Transactions that decide are serialised (:class:`core.storage.connections.Turn`),
so no two of them reserve the same place. A reservation is never deleted: one that is given back is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.calendar import micros, moment
from core.storage.database import among, insert
from records.contacts import spending
from records.contacts.contact import EXPORTED, MARKETING, RESERVED, SENT, SHOWN, Contact, ContactReservation
from records.contacts.tables import contacts, reservations
from records.tables import decisions, outcomes, run_rows

CONTACT_OF = {"sent": SENT, "shown": SHOWN, "clicked": SHOWN, "accepted": SHOWN, "rejected": SHOWN}
"""The kind of contact that an outcome implies."""
NOT_SENT = "not_sent"
"""The outcome that gives a reservation back."""
_TAGS = ("customer_key", "action", "action_group", "channel", "purpose", "zone")


def read(
    connection: sa.Connection, keys: Sequence[int], now: datetime, rules: str | None = None
) -> dict[int, list[Contact]]:
    """The contacts and the valid reservations of customers, by key.

    Args:
        now: by the shop's clock.
        rules: only reservations of decisions by the rules of this digest; None for all.
    """
    by_key: dict[int, list[Contact]] = {key: [] for key in keys}
    responses = _outcomes(connection, keys)
    for row in connection.execute(
        sa.select(contacts).where(among(connection, contacts.c.customer_key, keys))
    ):
        by_key[row.customer_key].append(_contact(row, row.kind, responses))
    valid = sa.select(reservations).where(
        among(connection, reservations.c.customer_key, keys),
        reservations.c.until_us > micros(now),
        ~sa.exists().where(contacts.c.decision_id == reservations.c.decision_id),
    )
    if rules is not None:
        by_rules = (decisions.c.id == reservations.c.decision_id, decisions.c.rules == rules)
        valid = valid.where(sa.exists().where(*by_rules))
    for row in connection.execute(valid):
        by_key[row.customer_key].append(_contact(row, RESERVED, responses))
    return by_key


def reserve(
    connection: sa.Connection, key: int, decision_id: str, reservation: ContactReservation
) -> Contact:
    """Reserve a place for a decision; returns it as contacts of the customer are returned."""
    row = {
        "decision_id": decision_id,
        "customer_key": key,
        "action": reservation.action,
        "action_group": reservation.group,
        "channel": reservation.channel,
        "purpose": reservation.purpose,
        "at_us": micros(reservation.at),
        "zone": reservation.zone,
        "until_us": micros(reservation.until),
    }
    connection.execute(sa.insert(reservations), row)
    return Contact(
        decision_id, reservation.action, reservation.group, reservation.channel, reservation.purpose,
        RESERVED, reservation.at, reservation.zone,
    )  # fmt: skip


def record(connection: sa.Connection, decision_id: str, kind: str, at: datetime) -> None:
    """Record that a decision was exported, sent or shown; nothing for a decision without a channel.

    A decision is one contact: one that was exported counts from when it was sent or shown, if that is
    reported. The tags are those of its reservation, also of one that is over.

    Args:
        at: by the shop's clock.
    """
    known = connection.execute(
        sa.select(contacts.c.kind).where(contacts.c.decision_id == decision_id)
    ).scalar()
    if known is None:
        tags = _tags(connection, decision_id)
        if tags is not None:
            row = {"decision_id": decision_id, "at_us": micros(at), "kind": kind, **tags}
            row["exported_us"] = micros(at) if kind == EXPORTED else None
            connection.execute(insert(connection, contacts).on_conflict_do_nothing(), row)
            spending.use(connection, [decision_id])
        return
    if kind == EXPORTED or known in (SHOWN, kind):
        return
    later = {"kind": kind} | ({} if known == SENT else {"at_us": micros(at)})
    connection.execute(sa.update(contacts).where(contacts.c.decision_id == decision_id).values(later))


def give_back(connection: sa.Connection, decision_id: str) -> bool:
    """Give the reservation of a decision back; returns whether there was one that became no contact."""
    statement = sa.update(reservations).where(
        reservations.c.decision_id == decision_id,
        ~sa.exists().where(contacts.c.decision_id == reservations.c.decision_id),
    )
    given_back = connection.execute(statement.values(until_us=0)).rowcount > 0
    if given_back:
        spending.give_back(connection, [decision_id])
    return given_back


def undo(connection: sa.Connection, decision_id: str, remaining: Mapping[str, int]) -> None:
    """Correct the contact of a decision after one of its outcomes was removed.

    Without an outcome that implies a contact, it is exported again if it was. Else it is deleted, and its
    reservation is valid again if its time is not over.

    Args:
        remaining: the moments of the outcomes that remain, in microseconds, by kind.
    """
    implied = {CONTACT_OF[kind]: at_us for kind, at_us in sorted(remaining.items()) if kind in CONTACT_OF}
    of_decision = contacts.c.decision_id == decision_id
    if not implied:
        exported = {"kind": EXPORTED, "at_us": contacts.c.exported_us}
        connection.execute(sa.delete(contacts).where(of_decision, contacts.c.exported_us.is_(None)))
        connection.execute(sa.update(contacts).where(of_decision).values(exported))
        if connection.execute(sa.select(contacts.c.kind).where(of_decision)).first() is None:
            spending.undo(connection, [decision_id])
        return
    first = min(at_us for kind, at_us in remaining.items() if kind in CONTACT_OF)
    row = {"kind": SHOWN if SHOWN in implied else SENT, "at_us": first}
    connection.execute(sa.update(contacts).where(of_decision).values(row))


def undo_export(connection: sa.Connection, decision_ids: sa.ColumnElement[bool]) -> int:
    """Take the export of contacts back; returns how many are no contacts any more.

    Those that were sent or shown since remain.

    Args:
        decision_ids: which contacts, as a condition on :data:`records.contacts.tables.contacts`.
    """
    exported = contacts.c.kind == EXPORTED, decision_ids
    ids = connection.execute(sa.select(contacts.c.decision_id).where(*exported)).scalars().all()
    connection.execute(sa.delete(contacts).where(*exported))
    spending.undo(connection, ids)
    connection.execute(sa.update(contacts).where(decision_ids).values(exported_us=None))
    return len(ids)


def export_run(connection: sa.Connection, run_id: str, at: datetime) -> int:
    """Record that the actions of a run were exported; returns the number of new contacts.

    Args:
        at: by the shop's clock.
    """
    columns = [reservations.c[name] for name in ("decision_id", *_TAGS)]
    at_us = sa.literal(micros(at), sa.BigInteger)
    listed = (
        sa.select(*columns, at_us, sa.literal(EXPORTED, sa.Text), at_us)
        .join(decisions, decisions.c.id == reservations.c.decision_id)
        .join(run_rows, run_rows.c.decision == decisions.c.n)
        .where(
            run_rows.c.run_id == run_id,
            ~sa.exists().where(contacts.c.decision_id == reservations.c.decision_id),
        )
        .distinct()
    )
    spending.use(connection, list(connection.execute(sa.select(listed.subquery().c.decision_id)).scalars()))
    names = ("decision_id", *_TAGS, "at_us", "kind", "exported_us")
    statement = sa.insert(contacts).from_select(names, listed)
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


def is_over(decision_id: sa.ColumnElement[str], now_us: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Whether a decision has lost its place: its reservation is over, and nothing was sent."""
    return sa.exists().where(
        reservations.c.decision_id == decision_id,
        reservations.c.until_us <= now_us,
        ~sa.exists().where(contacts.c.decision_id == decision_id),
    )


def _outcomes(connection: sa.Connection, keys: Sequence[int]) -> dict[str, set[str]]:
    statement = sa.select(outcomes.c.decision_id, outcomes.c.kind)
    by_decision: dict[str, set[str]] = {}
    for row in connection.execute(statement.where(among(connection, outcomes.c.customer_key, keys))):
        by_decision.setdefault(row.decision_id, set()).add(row.kind)
    return by_decision


def _contact(row: sa.Row[Any], kind: str, responses: Mapping[str, set[str]]) -> Contact:
    return Contact(
        row.decision_id, row.action, row.action_group, row.channel, row.purpose, kind, moment(row.at_us),
        row.zone, frozenset(responses.get(row.decision_id, ())),
    )  # fmt: skip


def _tags(connection: sa.Connection, decision_id: str) -> dict[str, Any] | None:
    """The tags of a decision; None for one without a channel."""
    columns = (reservations.c[name] for name in _TAGS)
    row = connection.execute(sa.select(*columns).where(reservations.c.decision_id == decision_id)).first()
    if row is not None:
        return dict(row._mapping)
    # A decision of an earlier version, which reserved nothing.
    earlier = sa.select(decisions.c.customer_key, decisions.c.action, decisions.c.channel)
    row = connection.execute(earlier.where(decisions.c.id == decision_id)).first()
    if row is None or row.channel is None:
        return None
    return dict(row._mapping) | {"action_group": None, "purpose": MARKETING, "zone": None}
