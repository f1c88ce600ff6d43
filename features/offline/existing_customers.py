"""The customers who exist at the shop's clock.

A clock that is frozen before the last event (``patron import --as-of``) shows the shop as of that moment. The
ids of later customers are stored, and nobody could have known them: to serving they do not exist yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.home import Home
from core.storage.database import Database
from events import lake
from events.identity import Identity
from features.offline.populations import first_known


class ExistingCustomers(Identity):
    """Looks customers up, without those whose first event is after the shop's clock."""

    def __init__(self, home: Home, database: Database | None = None) -> None:
        super().__init__(home, database)
        self._shop_home = home

    @cached_property
    def later(self) -> frozenset[int]:
        """The keys of customers who come later; read once, empty unless the clock stands before orders."""
        shop = self._shop_home.shop()
        if shop.live or not lake.exists(self._shop_home):
            return frozenset()
        last_day = lake.metadata(self._shop_home).last_day
        if last_day is None or last_day < shop.today():
            return frozenset()
        backend = lake.backend_of(self._shop_home)
        known = first_known(lake.read(self._shop_home, backend))
        now = ibis.literal(shop.now().replace(tzinfo=None), "timestamp(6)")
        return frozenset(backend.to_pyarrow(known.filter(known.since > now).customer_key).to_pylist())

    def table(self) -> pa.Table:
        """All ids: ``customer_key`` (int64) and ``customer_id`` (string), by key."""
        table = super().table()
        if not self.later:
            return table
        return table.filter(pc.invert(pc.is_in(table["customer_key"], pa.array(self.later, pa.int64()))))

    def keys(self, customer_ids: Sequence[str]) -> dict[str, int]:
        """The keys of those ids that are known, as they are spelt or else as they are folded."""
        keys = super().keys(customer_ids)
        return {name: key for name, key in keys.items() if key not in self.later} if self.later else keys

    def everyone(self, at_once: int) -> Iterator[NDArray[np.int64]]:
        """The keys of all customers who have an id, in ascending order, at most so many at a time."""
        later = np.array(sorted(self.later), np.int64)
        for keys in super().everyone(at_once):
            existing = keys[~np.isin(keys, later)]
            if len(existing):
                yield existing
