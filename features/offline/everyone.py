"""The features of all customers as of one moment, computed from the events, by the customers' own ids."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from core.errors import NothingThere, PatronError
from core.home import Home
from events import lake
from events.identity import Identity
from features.offline import populations
from features.offline.snapshots import snapshot


def snapshot_of_everyone(home: Home, as_of: datetime | None = None) -> pd.DataFrame:
    """A row per customer who was known then, by key; see :func:`features.offline.snapshots.snapshot`.

    Args:
        as_of: the moment; by default the shop's present.

    Raises:
        PatronError: there is no shop, the moment is after its present, or nobody was known then.
    """
    shop = home.shop()
    now = shop.now()
    as_of = as_of or now
    if as_of > now:
        raise PatronError(
            f"{as_of:%Y-%m-%d %H:%M} UTC is after the shop's present, {now:%Y-%m-%d %H:%M} UTC;"
            " use an earlier moment"
        )
    known = populations.everyone(lake.read(home, lake.backend_of(home)), as_of, shop.time_zone).to_pandas()
    by_key = sorted(Identity(home).ids(known["customer_key"].tolist()).items())
    if not by_key:
        raise NothingThere(f"no customer was known at {as_of:%Y-%m-%d %H:%M} UTC; use a later moment")
    ids = [customer_id for _, customer_id in by_key]
    return snapshot(pd.DataFrame({"customer_id": ids, "as_of": as_of}), home=home)
