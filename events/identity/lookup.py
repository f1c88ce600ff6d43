"""Looking customers up by id and by key."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from numpy.typing import NDArray

from core.errors import NothingThere
from core.home import Home
from core.storage.database import Database, among
from events.identity.customer_ids import fold
from events.identity.merging import Merge, read_merges
from events.identity.registering import assign, table
from events.identity.tables import customers, ids

_KEY_OF = "SELECT customer_key FROM customer_ids WHERE customer_id = ?"
# All ids are one parameter: JSON for SQLite, an array for PostgreSQL.
_AMONG = {False: "IN (SELECT value FROM json_each(?))", True: "= ANY(?)"}
_KEYS_OF = "SELECT customer_id, customer_key FROM customer_ids WHERE customer_id "
_MERGED = 'SELECT customer_key FROM merges WHERE "into" = ? LIMIT 1'


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
        """The keys of those ids that are known, as they are spelt or else as they are folded."""
        if len(customer_ids) == 1 and "\0" not in customer_ids[0]:  # part of every score request
            (customer_id,) = customer_ids
            row = self._open().first(_KEY_OF, customer_ids)
            if row is None and (folded := fold(customer_id)) != customer_id:
                row = self._open().first(_KEY_OF, [folded])
            return {customer_id: row[0]} if row else {}
        known = self._keys_of(customer_ids)
        if len(known) < len(customer_ids):
            unknown = {text: fold(text) for text in customer_ids if text not in known}
            respelt = {text: folded for text, folded in unknown.items() if folded != text}
            if respelt:
                keys = self._keys_of(list(set(respelt.values())))
                known |= {text: keys[folded] for text, folded in respelt.items() if folded in keys}
        return known

    def _keys_of(self, customer_ids: Sequence[str]) -> dict[str, int]:
        """The keys of those ids that are known as they are spelt."""
        database = self._open()
        possible = [text for text in customer_ids if "\0" not in text]  # which PostgreSQL cannot store
        values = possible if database.on_postgres else json.dumps(possible)
        return dict(database.rows(_KEYS_OF + _AMONG[database.on_postgres], (values,)))  # type: ignore[arg-type]

    def ids_of(self, customer_id: str) -> list[str]:
        """All ids of the customer whom an id means.

        Raises:
            NothingThere: nobody has that id.
        """
        key = self.keys([customer_id]).get(customer_id)
        if key is None:
            raise NothingThere("there is no customer with that id")
        with self._open().reading() as connection:
            rows = sa.select(ids.c.customer_id).where(ids.c.customer_key == key)
            return sorted(connection.execute(rows).scalars())

    def look_alikes(self) -> int:
        """How many customers have an id that differs from another customer's only in case or blanks."""
        with self._open().reading() as connection:
            rows = connection.execute(sa.select(ids.c.customer_id, ids.c.customer_key)).cursor.fetchall()
        spelt = {(fold(text).casefold(), key) for text, key in rows}
        counts = Counter(text for text, _ in spelt)
        return sum(count for count in counts.values() if count > 1)

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
        if into is not None and len(into) == 1 and self._open().first(_MERGED, (int(into[0]),)) is None:
            return []
        with self._open().reading() as connection:
            return read_merges(connection, into)
