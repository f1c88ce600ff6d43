"""Undoing a merge: a customer becomes two from now on, and what was known before stays as it was.

Both get a key of their own, and ``merges`` says whose events each has from then on. So no reader needs to
know of splits, and a snapshot of a moment before still has all events under the key that it had then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from core.errors import PatronError
from core.storage.database import among
from events.identity.merging import group_of, name_of
from events.identity.registering import next_key, owners
from events.identity.tables import ANONYMOUS, STORED_UNDER, customers, ids, merges, splits


@dataclass(frozen=True)
class IdentitySplit:
    """What a split made.

    Attributes:
        customer_key, other: the new keys of the customer who was taken out, and of the rest.
        customer_ids, other_ids: the ids of each.
    """

    customer_key: int
    other: int
    customer_ids: tuple[str, ...]
    other_ids: tuple[str, ...]


def split(connection: sa.Connection, customer_id: str, at_us: int, seq: int) -> IdentitySplit:
    """Take the customer whom an id meant before a merge out of the customer whom it means now.

    Events that were stored under an id before it was merged, and since, belong to that id's customer again.
    An id that never had events of its own before it was joined is taken out alone; events so far stay with
    the rest. So do the events since a merge that an earlier release stored.

    Args:
        seq: the number of the journal whose reader learns of it.

    Raises:
        PatronError: the id is unknown, or the only one of its customer; nothing was changed.
    """
    known = owners(connection, [customer_id])
    if customer_id not in known:
        raise PatronError("there is no customer with that id; nothing was changed")
    current, origin = known[customer_id]
    whole = group_of(connection, current)
    inside = group_of(connection, origin) if origin != current else _inside(connection, customer_id, current)
    inside &= whole  # others may have been split from them before
    own = _ids(connection, current, inside) | {customer_id}
    rest = _ids(connection, current) - own
    if not rest:
        raise PatronError("this id is the only one of its customer; nothing was changed")
    first = next_key(connection)
    for key, members, names in ((first, inside, own), (first + 1, whole - inside, rest)):
        row = {"customer_key": key, "customer_id": _name(connection, current, names)}
        connection.execute(sa.insert(customers), row)
        rows = [{"customer_key": each, "into": key, "at_us": at_us, "seq": seq} for each in sorted(members)]
        if rows:
            connection.execute(sa.insert(merges), rows)
        moved = sa.update(ids).where(among(connection, ids.c.customer_id, sorted(names)))
        connection.execute(moved.values(customer_key=key))
    connection.execute(sa.insert(splits), {"customer_key": first, "other": first + 1, "at_us": at_us})
    return IdentitySplit(first, first + 1, tuple(sorted(own)), tuple(sorted(rest)))


def _inside(connection: sa.Connection, customer_id: str, current: int) -> set[int]:
    """The keys whose events belong to an id that no merge moved, as far as that is known; none otherwise."""
    stored = sa.select(STORED_UNDER)
    named = (
        sa.select(customers.c.customer_key)
        .join(merges, merges.c.customer_key == customers.c.customer_key)
        .where(
            customers.c.customer_id == customer_id,
            merges.c.into == current,
            customers.c.customer_key.not_in(stored),
        )
    )
    earlier = set(connection.execute(named).scalars())  # what a split, or an earlier release, left there
    if name_of(connection, current) == customer_id:
        return {current, *earlier}
    return set().union(*(group_of(connection, key) for key in earlier))


def _ids(connection: sa.Connection, key: int, origins: Iterable[int] | None = None) -> set[str]:
    """The ids of a customer, or those of them whose events are stored under some keys."""
    statement = sa.select(ids.c.customer_id).where(ids.c.customer_key == key)
    if origins is not None:
        statement = statement.where(among(connection, STORED_UNDER, sorted(origins)))
    return set(connection.execute(statement).scalars())


def _name(connection: sa.Connection, current: int, names: set[str]) -> str:
    """The id that names one of the two: as before where it is theirs, else the company's own first."""
    before = name_of(connection, current)
    return before if before in names else min(names, key=lambda name: (name.startswith(ANONYMOUS), name))
