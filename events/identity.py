"""External ids ↔ ``customer_key``: the only module that stores external ids.

A customer may have several ids: the company's own, and ``anonymous:ID`` for each browser or device before
sign-in. Two customers who are one person are merged: the ids of the first lead to the second from then on,
and ``merges`` says since when. Merges are only added, so what was known before a merge can be reproduced.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from numpy.typing import NDArray

from core.errors import NothingThere
from core.home import Home
from core.storage.database import METADATA, Database, Key, among

ANONYMOUS = "anonymous:"

customers = sa.Table(
    "customers",
    METADATA,
    sa.Column("customer_key", Key, primary_key=True, autoincrement=True),
    sa.Column("customer_id", sa.Text, nullable=False),  # the id that answers name
    sqlite_autoincrement=True,
)
ids = sa.Table(
    "customer_ids",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("customer_key", Key, nullable=False, index=True),
)
# From ``at_us`` on (microseconds since 1970, UTC) the events of ``customer_key`` are ``into``'s too.
# One row per customer that is reached, so that nobody has to follow a chain.
merges = sa.Table(
    "merges",
    METADATA,
    sa.Column("customer_key", Key, primary_key=True, autoincrement=False),
    sa.Column("into", Key, primary_key=True, autoincrement=False, index=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),  # the journal's number of what merged them
)
_KEYS_OF = sa.select(ids.c.customer_id, ids.c.customer_key)
_KEY_OF = "SELECT customer_key FROM customer_ids WHERE customer_id = ?"


@dataclass(frozen=True)
class Merge:
    """A customer who turned out to be another, and since when (microseconds since 1970, UTC)."""

    customer_key: int
    into: int
    at_us: int


class Identity:
    """Looks customers up. Keys are dense, start at 1 and are never reused."""

    def __init__(self, home: Home, database: Database | None = None) -> None:
        self._home, self._database = home, database

    def _open(self, *, write: bool = False) -> Database:
        if self._database is None:
            if not write and not self._home.has_database:
                raise NothingThere(f"no customers in {self._home.path}; import or simulate a shop first")
            self._database = Database(self._home)
        return self._database

    def assign(self, customer_ids: Iterable[str]) -> None:
        """Give every id that has none a key, in the order given."""
        with self._open(write=True).writing() as connection:
            assign(connection, list(dict.fromkeys(customer_ids)))

    def table(self) -> pa.Table:
        """All ids: ``customer_key`` (int64) and ``customer_id`` (string), by key."""
        with self._open().reading() as connection:
            return table(connection, ids)

    def keys(self, customer_ids: Sequence[str]) -> dict[str, int]:
        """The keys of those ids that are known."""
        if len(customer_ids) == 1 and "\0" not in customer_ids[0]:  # asked with every score
            row = self._open().first(_KEY_OF, customer_ids)
            return {customer_ids[0]: row[0]} if row else {}
        with self._open().reading() as connection:
            return keys_of(connection, customer_ids)

    def ids(self, customer_keys: Sequence[int]) -> dict[int, str]:
        """The ids by which those keys that are known are named."""
        keys = [int(key) for key in customer_keys]
        with self._open().reading() as connection:
            named = sa.select(customers).where(among(connection, customers.c.customer_key, keys))
            return {row[0]: row[1] for row in connection.execute(named)}

    def everyone(self, at_once: int) -> Iterator[NDArray[np.int64]]:
        """The keys of all customers who have an id, in ascending order, so many at a time."""
        last = 0
        while True:
            statement = sa.select(ids.c.customer_key).where(ids.c.customer_key > last).distinct()
            with self._open().reading() as connection:
                result = connection.execute(statement.order_by(ids.c.customer_key).limit(at_once))
                # Past SQLAlchemy's rows, which cost more than all the rest.
                keys = np.fromiter(chain.from_iterable(result.cursor.fetchall()), np.int64)
            if not len(keys):
                return
            yield keys
            last = int(keys[-1])

    def names(self, customer_keys: NDArray[np.int64]) -> pa.Array:
        """The ids by which customers are named, one per key (ascending); null where nobody has that key."""
        first, last = int(customer_keys[0]), int(customer_keys[-1])
        with self._open().reading() as connection:
            where: sa.ColumnElement[bool] = customers.c.customer_key.between(first, last)
            if last - first > 4 * len(customer_keys):  # else a range is sooner read than each looked up
                where = among(connection, customers.c.customer_key, customer_keys.tolist())
            # As two long texts: a row each would cost three times as much.
            together = (
                sa.func.json_agg if connection.dialect.name == "postgresql" else sa.func.json_group_array
            )
            listed = (sa.cast(together(column), sa.Text) for column in customers.c)
            row = connection.execute(sa.select(*listed).where(where)).one()
        keys, names = (json.loads(text or "[]") for text in row)
        places = pc.index_in(pa.array(customer_keys), value_set=pa.array(keys, pa.int64()))
        return pa.array(names, pa.string()).take(places)

    def merges(self, into: Sequence[int] | None = None) -> list[Merge]:
        """All merges, or those into some customers; what is earlier comes first."""
        if not self._home.has_database:
            return []
        with self._open().reading() as connection:
            return read_merges(connection, into)


def table(connection: sa.Connection, of: sa.Table) -> pa.Table:
    """All of ``ids``, or the names of all ``customers``: ``customer_key`` and ``customer_id``, by key."""
    columns = (of.c.customer_key, of.c.customer_id)
    rows = connection.execute(sa.select(*columns).order_by(*columns)).all()
    keys, names = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"customer_key": pa.array(keys, "int64"), "customer_id": pa.array(names, "string")})


def keep(connection: sa.Connection, customer_ids: Sequence[str]) -> None:
    """Forget everybody but the customers who are named by these ids, and all merges.

    The last key stays taken, since it may stand in logs.
    """
    named, rows = set(customer_ids), connection.execute(sa.select(customers)).all()
    there = [{"customer_key": key, "customer_id": name} for key, name in rows if name in named]
    for emptied in (merges, ids, customers):
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


def assign(connection: sa.Connection, customer_ids: Sequence[str]) -> dict[str, int]:
    """The keys of ids; those that have none get one, in the order given."""
    known = keys_of(connection, customer_ids)
    fresh = [customer_id for customer_id in customer_ids if customer_id not in known]
    if fresh:
        last = connection.execute(
            sa.select(sa.func.coalesce(sa.func.max(customers.c.customer_key), 0))
        ).scalar_one()
        made = {customer_id: last + 1 + i for i, customer_id in enumerate(fresh)}
        rows = [{"customer_key": key, "customer_id": customer_id} for customer_id, key in made.items()]
        connection.execute(sa.insert(customers), rows)
        connection.execute(sa.insert(ids), rows)
        known |= made
    return known


def join(connection: sa.Connection, earlier: str, later: str, at_us: int, seq: int) -> int:
    """Let two ids mean one customer from now on; return the customer's key.

    An id that nobody has yet is given to the other's customer. A device's id (``anonymous:``) that led
    to somebody with an id of the company's own is handed over without a merge, since two people may use one
    device. Otherwise the customer of ``earlier`` is merged into that of ``later``.
    """
    if earlier == later:
        return assign(connection, [later])[later]
    known = keys_of(connection, [earlier, later])
    if later not in known and earlier in known and not _hands_over(connection, earlier, known[earlier]):
        key = known[earlier]
        connection.execute(sa.insert(ids), {"customer_id": later, "customer_key": key})
        if not later.startswith(ANONYMOUS):
            _name(connection, key, later)
        return key
    into = known.get(later) or assign(connection, [later])[later]
    if earlier not in known:
        connection.execute(sa.insert(ids), {"customer_id": earlier, "customer_key": into})
    elif known[earlier] != into:
        if _hands_over(connection, earlier, known[earlier]):
            connection.execute(sa.update(ids).where(ids.c.customer_id == earlier).values(customer_key=into))
        else:
            _merge(connection, known[earlier], into, at_us, seq)
    if not earlier.startswith(ANONYMOUS) and _named(connection, into).startswith(ANONYMOUS):
        _name(connection, into, earlier)
    return into


def _named(connection: sa.Connection, key: int) -> str:
    statement = sa.select(customers.c.customer_id).where(customers.c.customer_key == key)
    return str(connection.execute(statement).scalar_one())


def _name(connection: sa.Connection, key: int, customer_id: str) -> None:
    """Let a customer be named by an id of theirs."""
    named = sa.update(customers).where(customers.c.customer_key == key)
    connection.execute(named.values(customer_id=customer_id))


def _hands_over(connection: sa.Connection, customer_id: str, key: int) -> bool:
    """Whether an id is a device's whose customer has an id of the company's own."""
    return customer_id.startswith(ANONYMOUS) and not _named(connection, key).startswith(ANONYMOUS)


def _merge(connection: sa.Connection, key: int, into: int, at_us: int, seq: int) -> None:
    moved = connection.execute(sa.select(merges.c.customer_key).where(merges.c.into == key)).scalars().all()
    for each in (key, *moved):
        row = {"customer_key": each, "into": into, "at_us": at_us, "seq": seq}
        there = sa.select(merges.c.at_us).where(merges.c.customer_key == each, merges.c.into == into)
        if connection.execute(there).first() is None and each != into:
            connection.execute(sa.insert(merges), row)
    connection.execute(sa.update(ids).where(ids.c.customer_key == key).values(customer_key=into))


def read_merges(connection: sa.Connection, into: Sequence[int] | None = None) -> list[Merge]:
    """All merges, or those into some customers; what is earlier comes first."""
    statement = sa.select(merges.c.customer_key, merges.c.into, merges.c.at_us)
    if into is not None:
        statement = statement.where(among(connection, merges.c.into, [int(key) for key in into]))
    rows = [Merge(*row) for row in connection.execute(statement)]
    return sorted(rows, key=lambda merge: (merge.at_us, merge.customer_key, merge.into))
