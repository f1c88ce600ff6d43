"""Joining ids that mean one customer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import sqlalchemy as sa

from core.storage.database import among
from events.identity.registering import assign, keys_of
from events.identity.tables import ANONYMOUS, customers, ids, merges, splits


@dataclass(frozen=True)
class Merge:
    """A customer who turned out to be another, and since when (microseconds since 1970, UTC)."""

    customer_key: int
    into: int
    at_us: int


def join(connection: sa.Connection, earlier: str, later: str, at_us: int, seq: int) -> int:
    """Let two ids mean one customer from now on; return the customer's key.

    An id that nobody has yet is given to the other's customer. A device's id (``anonymous:``) that led
    to somebody with an id of the company's own is handed over without a merge, since two people may use one
    device. Otherwise the customer of ``earlier`` is merged into that of ``later``, unless they were split.
    """
    if earlier == later:
        return assign(connection, [later])[later]
    known = keys_of(connection, [earlier, later])
    if later not in known and earlier in known and not _hands_over(connection, earlier, known[earlier]):
        key = known[earlier]
        connection.execute(sa.insert(ids), {"customer_id": later, "customer_key": key})
        if not later.startswith(ANONYMOUS):
            rename(connection, key, later)
        return key
    into = known.get(later) or assign(connection, [later])[later]
    if earlier not in known:
        connection.execute(sa.insert(ids), {"customer_id": earlier, "customer_key": into})
    elif known[earlier] != into:
        if _hands_over(connection, earlier, known[earlier]):
            given = {"customer_key": into, "origin_key": None}
            connection.execute(sa.update(ids).where(ids.c.customer_id == earlier).values(given))
        elif are_split(connection, known[earlier], into):
            return into
        else:
            _merge(connection, known[earlier], into, at_us, seq)
    if not earlier.startswith(ANONYMOUS) and name_of(connection, into).startswith(ANONYMOUS):
        rename(connection, into, earlier)
    return into


def join_previous(connection: sa.Connection, previous: str, later: str, at_us: int, seq: int) -> None:
    """Join the ``previousId`` of an alias, which may be a device's id or one of the company's own.

    It is whichever of the two is known. If neither is, both join, since the device's events may be late.
    """
    device = ANONYMOUS + previous
    known = keys_of(connection, [previous, device])
    if device in known or previous not in known:
        join(connection, device, later, at_us, seq)
    if previous in known or device not in known:
        join(connection, previous, later, at_us, seq)


def name_of(connection: sa.Connection, key: int) -> str:
    """The id by which a customer is named."""
    statement = sa.select(customers.c.customer_id).where(customers.c.customer_key == key)
    return str(connection.execute(statement).scalar_one())


def rename(connection: sa.Connection, key: int, customer_id: str) -> None:
    """Let a customer be named by an id of theirs."""
    named = sa.update(customers).where(customers.c.customer_key == key)
    connection.execute(named.values(customer_id=customer_id))


def _hands_over(connection: sa.Connection, customer_id: str, key: int) -> bool:
    """Whether an id is a device's whose customer has an id of the company's own."""
    return customer_id.startswith(ANONYMOUS) and not name_of(connection, key).startswith(ANONYMOUS)


def group_of(connection: sa.Connection, key: int) -> set[int]:
    """A customer and all who were merged into that customer."""
    merged = connection.execute(sa.select(merges.c.customer_key).where(merges.c.into == key))
    return {key, *merged.scalars()}


def are_split(connection: sa.Connection, key: int, other: int) -> bool:
    """Whether a person declared that two customers, or those merged into them, are two people."""
    mine, theirs = sorted(group_of(connection, key)), sorted(group_of(connection, other))
    for one, another in ((mine, theirs), (theirs, mine)):
        where = (
            among(connection, splits.c.customer_key, one),
            among(connection, splits.c.other, another),
        )
        if connection.execute(sa.select(splits.c.other).where(*where).limit(1)).first():
            return True
    return False


def _merge(connection: sa.Connection, key: int, into: int, at_us: int, seq: int) -> None:
    for each in sorted(group_of(connection, key)):
        row = {"customer_key": each, "into": into, "at_us": at_us, "seq": seq}
        there = sa.select(merges.c.at_us).where(merges.c.customer_key == each, merges.c.into == into)
        if connection.execute(there).first() is None and each != into:
            connection.execute(sa.insert(merges), row)
    origin = sa.func.coalesce(ids.c.origin_key, ids.c.customer_key)
    moved = sa.update(ids).where(ids.c.customer_key == key)
    connection.execute(moved.values(customer_key=into, origin_key=origin))


def survivors(merges: Iterable[Merge]) -> dict[int, int]:
    """The key of each merged customer's person after these merges, the last of which counts."""
    ordered = sorted(merges, key=lambda merge: (merge.at_us, merge.customer_key, merge.into))
    gone = {merge.customer_key for merge in ordered}
    return {merge.customer_key: merge.into for merge in ordered if merge.into not in gone}


def read_merges(connection: sa.Connection, into: Sequence[int] | None = None) -> list[Merge]:
    """All merges, or those into some customers; what is earlier comes first."""
    statement = sa.select(merges.c.customer_key, merges.c.into, merges.c.at_us)
    if into is not None:
        statement = statement.where(among(connection, merges.c.into, [int(key) for key in into]))
    rows = [Merge(*row) for row in connection.execute(statement)]
    return sorted(rows, key=lambda merge: (merge.at_us, merge.customer_key, merge.into))


def with_merged(rows: pa.Table, merges: Iterable[Merge]) -> pa.Table:
    """Rows by ``customer_key``; those of a merged customer also under the key of the person."""
    pairs = sorted({(merge.customer_key, merge.into) for merge in merges})
    if not pairs:
        return rows
    keys, into = zip(*pairs, strict=True)
    merged = pa.table({"customer_key": pa.array(keys, "int64"), "into": pa.array(into, "int64")})
    others = rows.join(merged, "customer_key", join_type="inner").drop_columns(["customer_key"])
    others = others.rename_columns({"into": "customer_key"}).select(rows.column_names)
    return pa.concat_tables([rows, others])


def merged_keys(connection: sa.Connection, keys: Sequence[int]) -> dict[int, list[int]]:
    """The keys of customers who were merged into these customers, by the customer's key."""
    others: dict[int, list[int]] = {}
    for merge in read_merges(connection, keys):
        others.setdefault(merge.into, []).append(merge.customer_key)
    return others
