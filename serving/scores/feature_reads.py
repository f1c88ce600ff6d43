"""Reads customers' keys and features from the stores, or from a cache if a store fails."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from core.circuit_breaker import CircuitBreaker
from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from features.catalogue.store import OnlineReader
from features.offline.existing_customers import ExistingCustomers
from features.online.cells import Cells

MAX_CACHED = 20_000  # customers


@dataclass(frozen=True, slots=True)
class Fetched:
    """The keys and features of the customers of a request.

    Attributes:
        keys: by id; unknown customers are missing.
        cells: by group of the reader, a cell for each of ``keys``, in order.
        degraded: by id, the reason why a customer's cells are not from the stores.
    """

    keys: Mapping[str, int]
    cells: Sequence[Cells]
    degraded: Mapping[str, str] = field(default_factory=dict)


class _CachedCustomer(NamedTuple):
    """A customer as last read: the key, the groups, and the cell of each."""

    key: int
    groups: tuple[str, ...]
    cells: tuple[bytes | None, ...]


class FeatureReader:
    """Reads customers' features, and caches them for when a store fails. Threads may share it.

    Args:
        budget_s: how many seconds a call to each of the two stores may take.
    """

    def __init__(self, home: Home, budget_s: float, most: int = MAX_CACHED) -> None:
        database = Database(home)
        self.identity = ExistingCustomers(home)
        # A file responds or fails at once; a server may hang, and the request with it.
        self._threads = ThreadPoolExecutor(4, "identity") if database.on_postgres else None
        self.customers = CircuitBreaker(f"the database {database.name}", budget_s, self._threads)
        self.online = CircuitBreaker("the online store", budget_s)
        self._max_cached = most
        self._cache: OrderedDict[str, _CachedCustomer] = OrderedDict()
        self._lock = threading.Lock()

    def fetch(self, customer_ids: Sequence[str], reader: OnlineReader) -> Fetched:
        """Read the customers from the stores. It waits for a slow database, having no fallback.

        Raises:
            PatronError: a store is missing or cannot be read.
        """
        keys = self.identity.keys(customer_ids)
        return Fetched(keys, self._fetch_cells(reader, keys))

    def fetch_or_cached(self, customer_ids: Sequence[str], reader: OnlineReader) -> Fetched:
        """Read the customers from the stores, or from the cache if a store fails."""
        try:
            keys: Mapping[str, int] = self.customers(self.identity.keys, customer_ids)
        except PatronError as error:
            return self._last_known(customer_ids, None, reader, str(error))
        try:
            cells = self._fetch_cells(reader, keys)
        except PatronError as error:
            return self._last_known(customer_ids, keys, reader, str(error))
        self._store(customer_ids, reader, keys, cells)
        return Fetched(keys, cells)

    def close(self) -> None:
        """Wait for calls that timed out."""
        if self._threads is not None:
            self._threads.shutdown()

    def _fetch_cells(self, reader: OnlineReader, keys: Mapping[str, int]) -> list[Cells]:
        if not keys:
            return [[] for _ in reader.selections]
        cells = self.online(reader.fetch, list(keys.values()))
        reader.check(cells)
        return cells

    def _store(
        self,
        customer_ids: Sequence[str],
        reader: OnlineReader,
        keys: Mapping[str, int],
        cells: Sequence[Cells],
    ) -> None:
        groups, cache = tuple(reader.selections), self._cache
        with self._lock:
            if len(keys) < len(customer_ids):
                for customer_id in customer_ids:
                    if customer_id not in keys:  # deleted meanwhile
                        cache.pop(customer_id, None)
            for (customer_id, key), row in zip(keys.items(), zip(*cells, strict=True), strict=True):
                before = cache.get(customer_id)
                if before is None or before.groups == groups or before.key != key:
                    cache[customer_id] = _CachedCustomer(key, groups, row)
                else:  # other models read other groups
                    merged = dict(zip(before.groups, before.cells, strict=True))
                    merged |= zip(groups, row, strict=True)
                    cache[customer_id] = _CachedCustomer(key, tuple(merged), tuple(merged.values()))
                cache.move_to_end(customer_id)
            while len(cache) > self._max_cached:
                cache.popitem(last=False)

    def _last_known(
        self, customer_ids: Sequence[str], keys: Mapping[str, int] | None, reader: OnlineReader, why: str
    ) -> Fetched:
        """Read the customers from the cache.

        Args:
            keys: of the known customers, if the database could be read.
        """
        with self._lock:
            cached = {each: self._cache[each] for each in customer_ids if each in self._cache}
        if keys is None:
            keys = {each: row.key for each, row in cached.items()}
        # A customer without some of the groups would be scored as if their features were missing.
        whole = {
            each: dict(zip(row.groups, row.cells, strict=True))
            for each, key in keys.items()
            if (row := cached.get(each)) and row.key == key and reader.selections.keys() <= {*row.groups}
        }
        cells: list[Cells] = [
            [whole[each][group] if each in whole else None for each in keys] for group in reader.selections
        ]
        try:
            reader.check(cells)
        except PatronError:  # cached before the definitions changed
            cells = [[None] * len(keys) for _ in reader.selections]
        return Fetched(keys, cells, dict.fromkeys(customer_ids, why))
