"""External customer ids ↔ ``customer_key``: the one table that holds external ids."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from features.errors import NothingThere, PatronError

_BATCH = 500  # SQLite's smallest compiled limit on variables is 999
_TABLE = (
    "CREATE TABLE IF NOT EXISTS customers"
    " (customer_key INTEGER PRIMARY KEY, customer_id TEXT NOT NULL UNIQUE)"
)


class Identity:
    """Looks customers up in ``identity.db``. Keys are dense, start at 1 and are never reused."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _connection(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        if not write and not self.path.exists():
            raise NothingThere(f"no customers in {self.path}; import or simulate a shop first")
        try:
            connection = sqlite3.connect(self.path, timeout=10)
            try:
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            raise PatronError(
                f"the customer table {self.path} cannot be read ({error}); restore it from a"
                " backup, or import the shop again into a new PATRON_HOME"
            ) from error

    def assign(self, customer_ids: Iterable[str]) -> None:
        """Give every id that has none a key, in the order given."""
        with self._connection(write=True) as connection:
            connection.execute(_TABLE)
            connection.executemany(
                "INSERT OR IGNORE INTO customers (customer_id) VALUES (?)",
                ((customer_id,) for customer_id in customer_ids),
            )

    def table(self) -> pa.Table:
        """All customers: ``customer_key`` (int64) and ``customer_id`` (string), by key."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT customer_key, customer_id FROM customers ORDER BY customer_key"
            ).fetchall()
        keys, ids = zip(*rows, strict=True) if rows else ((), ())
        return pa.table({"customer_key": pa.array(keys, "int64"), "customer_id": pa.array(ids, "string")})

    def keys(self, customer_ids: Sequence[str]) -> dict[str, int]:
        """The keys of those ids that are known."""
        return self._found("customer_id", "customer_key", customer_ids)

    def ids(self, customer_keys: Sequence[int]) -> dict[int, str]:
        """The ids of those keys that are known."""
        return self._found("customer_key", "customer_id", customer_keys)

    def _found(self, by: str, wanted: str, values: Sequence[Any]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        with self._connection() as connection:
            for start in range(0, len(values), _BATCH):
                batch = values[start : start + _BATCH]
                marks = ",".join("?" * len(batch))
                found |= dict(
                    connection.execute(f"SELECT {by}, {wanted} FROM customers WHERE {by} IN ({marks})", batch)
                )
        return found
