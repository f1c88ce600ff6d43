"""The shop of a home: creating one without history, and replacing it."""

from __future__ import annotations

import shutil
from typing import Any

from core.errors import PatronError
from core.home import Clock, Home, Shop
from core.storage.database import Database
from core.storage.duckdb_engine import connect
from events import journal, lake

LIVE = "live"
"""The source of a shop created without history."""


def begin_live(home: Home, time_zone: str, currency: str) -> dict[str, Any]:
    """Create a shop without events, on wall time, that receives events as they happen.

    Raises:
        PatronError: the home has a shop already, or the time zone is unknown; nothing was changed.
    """
    shop = Shop(LIVE, time_zone, currency, Clock(), home.tiers())
    if lake.exists(home):
        raise PatronError(
            f"{home.path} holds a shop already ({lake.metadata(home).source}); nothing was changed."
            " Use another PATRON_HOME"
        )
    metadata = lake.write(home, connect().con, time_zone, {"source": LIVE})
    home.write_shop(shop)
    return metadata.record | {"time_zone": time_zone, "currency": currency}


def messages_received(home: Home) -> int:
    """The number of messages that a home's shop received over HTTP."""
    if not home.has_database:
        return 0
    database = Database(home)
    count = journal.arrived(database)
    database.close()
    return count


def replacement_loss(home: Home) -> str:
    """The end of a sentence: what replacing a shop deletes and no source can restore; "" if nothing."""
    count = messages_received(home)
    return f" and forget the {count:,} messages that arrived" if count else ""


def remove_features(home: Home) -> None:
    """Remove the features computed from the events of a replaced shop."""
    for folder in (home.snapshots, home.feast):
        shutil.rmtree(folder, ignore_errors=True)
