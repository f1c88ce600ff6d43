"""Giving keys to ids, and reading them within a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from core.storage import batches
from core.storage.batches import Insert, Lookup, Rows
from core.storage.database import among
from events.identity.customer_ids import fold
from events.identity.tables import STORED_UNDER, customers, ids, merges, splits

_KEYS_OF = sa.select(ids.c.customer_id, ids.c.customer_key)
_OWNERS = "SELECT customer_id, customer_key, coalesce(origin_key, customer_key) FROM customer_ids"


class Owner(NamedTuple):
    """Who an id means, and the key under which its events are stored."""

    customer_key: int
    stored_under: int


def table(connection: sa.Connection, of: sa.Table) -> pa.Table:
    """All of ``ids``, or the names of all ``customers``: ``customer_key`` and ``customer_id``, by key."""
    return _by_key(connection, of.c.customer_key, of.c.customer_id)


def stored_table(connection: sa.Connection) -> pa.Table:
    """All ids with the ``customer_key`` under which their events are stored."""
    return _by_key(connection, STORED_UNDER, ids.c.customer_id)


def _by_key(
    connection: sa.Connection, key: sa.ColumnElement[int], customer_id: sa.ColumnElement[str]
) -> pa.Table:
    rows = connection.execute(sa.select(key, customer_id).order_by(key, customer_id))
    # Past SQLAlchemy's rows, which cost twice what the database does.
    keys, names = zip(*all_rows, strict=True) if (all_rows := rows.cursor.fetchall()) else ((), ())
    return pa.table({"customer_key": pa.array(keys, "int64"), "customer_id": pa.array(names, "string")})


def keep(connection: sa.Connection, customer_ids: Sequence[str]) -> None:
    """Forget everybody but the customers who are named by these ids, and all merges.

    The last key stays taken, since it may stand in logs.
    """
    named, rows = set(customer_ids), connection.execute(sa.select(customers)).all()
    # Of two customers with one name, which a split leaves, the newest.
    newest = {fold(name): key for key, name in sorted(map(tuple, rows)) if fold(name) in named}
    there = [{"customer_key": key, "customer_id": name} for name, key in newest.items()]
    for emptied in (splits, merges, ids, customers):
        connection.execute(sa.delete(emptied))
    if there:
        connection.execute(sa.insert(ids), there)
        connection.execute(sa.insert(customers), there)
    last = max((key for key, _ in rows), default=0)
    if last > max((row["customer_key"] for row in there), default=0):
        connection.execute(sa.insert(customers), {"customer_key": last, "customer_id": ""})


def keys_of(connection: sa.Connection, customer_ids: Sequence[str]) -> dict[str, int]:
    """The keys of those ids that are known."""
    customer_ids = [text for text in customer_ids if "\0" not in text]  # which PostgreSQL cannot store
    rows = connection.execute(_KEYS_OF.where(among(connection, ids.c.customer_id, customer_ids)))
    return dict(rows.cursor.fetchall())  # past SQLAlchemy's rows, which cost twice what the database does


def owners(connection: sa.Connection, customer_ids: Sequence[str]) -> dict[str, Owner]:
    """The owners of those ids that are known."""
    (rows,) = batches.fetch(connection, [owners_lookup(customer_ids)])
    return owners_of(rows)


def owners_lookup(customer_ids: Sequence[str]) -> Lookup:
    """The lookup of the owners of ids; :func:`owners_of` reads its rows."""
    return Lookup(_OWNERS, "customer_id", customer_ids)


def owners_of(rows: Rows) -> dict[str, Owner]:
    """The owners of ids by the rows of :func:`owners_lookup`."""
    return {row[0]: Owner(row[1], row[2]) for row in rows}


def assign(connection: sa.Connection, customer_ids: Sequence[str]) -> dict[str, int]:
    """The keys of ids; those that have none get one, in the order given."""
    known = keys_of(connection, customer_ids)
    new_ids = [customer_id for customer_id in customer_ids if customer_id not in known]
    if new_ids:
        first = next_key(connection)
        assigned = {customer_id: first + i for i, customer_id in enumerate(new_ids)}
        names = Insert(customers, [(key, customer_id) for customer_id, key in assigned.items()])
        keys = Insert(ids, [(customer_id, key, None) for customer_id, key in assigned.items()])
        batches.execute(connection, [names, keys])
        known |= assigned
    return known


def reserve(connection: sa.Connection, last_key: int) -> None:
    """Make new customers get keys above ``last_key + 1``; that key is reserved, for a row without an id."""
    if next_key(connection) <= last_key:
        connection.execute(sa.insert(customers), {"customer_key": last_key + 1, "customer_id": ""})


def next_key(connection: sa.Connection) -> int:
    """The key of the next customer."""
    last: int = connection.execute(
        sa.select(sa.func.coalesce(sa.func.max(customers.c.customer_key), 0))
    ).scalar_one()
    return last + 1
