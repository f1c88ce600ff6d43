"""The shop of a home: creating one without history, attaching a database to it, and replacing it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from ibis.backends.sql import SQLBackend

from core import home_id
from core.errors import PatronError
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from core.storage.duckdb_engine import connect
from events import journal, lake, warehouse
from events.identity import Identity
from events.identity.tables import ids
from events.lake import staging, versions

LIVE = "live"
"""The source of a shop created without history."""


def begin_live(home: Home, time_zone: str, currency: str, source: str = LIVE) -> dict[str, Any]:
    """Create a shop without events, on wall time, that receives events as they happen.

    Args:
        source: ``LIVE``, or that of a shop whose events are in a warehouse.

    Raises:
        PatronError: the home has a shop already, or the time zone is unknown; nothing was changed.
    """
    shop = Shop(source, time_zone, currency, Clock(), home.tiers())
    if lake.exists(home):
        raise PatronError(
            f"{home.path} holds a shop already ({lake.metadata(home).source}); nothing was changed."
            " Use another PATRON_HOME"
        )
    metadata = lake.write(home, connect().con, time_zone, {"source": source})
    home.write_shop(shop)
    return metadata.record | {"time_zone": time_zone, "currency": currency}


def update_from_warehouse(home: Home, backend: SQLBackend) -> None:
    """Give keys to the new customers of a warehouse, and count its orders; nothing for other shops.

    Args:
        backend: see :func:`events.lake.backend_of`.

    Raises:
        PatronError: the mapping, the warehouse or the database cannot be used.
    """
    if not warehouse.is_in_warehouse(home):
        return
    queries = warehouse.queries_of(home, backend.dialect)
    Identity(home).assign(warehouse.new_customer_ids(home, backend))
    counts = staging.days(*warehouse.span(warehouse.read(home, backend), backend))
    with versions.writing(home):
        versions.amend(home, counts | {"generation": warehouse.generation(queries, home.shop())})


@dataclass(frozen=True)
class Attached:
    """What a home has after a database was attached to it.

    Attributes:
        home_id: the id of both.
        customers: how many ids of customers the database knows.
        messages: how many messages are in the journal; their events are read.
        lost: how many messages only the lost lake contained; 0 if the home has its lake.
        has_lake: whether the home had its lake.
    """

    home_id: str
    customers: int
    messages: int
    lost: int
    has_lake: bool


def attach(home: Home, time_zone: str | None, currency: str | None) -> Attached:
    """Give a home and its database one id, since a person says that they belong together.

    A home that lost its lake gets an empty one; the events that are in the journal are read again.

    Args:
        time_zone, currency: of the shop; the home's settings are used if it has them.

    Raises:
        PatronError: both have different ids, or the settings are missing; nothing was changed.
    """
    has_lake = lake.exists(home)
    if has_lake or home.settings_file.exists():
        shop = home.shop()
    elif time_zone and currency:
        shop = Shop(LIVE, time_zone, currency, Clock(), home.tiers())
    else:
        raise PatronError(
            f"{home.path} has no settings of the shop; pass its --time-zone and --currency to --attach"
        )
    database = Database(home)
    database.attach()
    if not has_lake:
        lake.write_empty(home, shop.time_zone, {"source": LIVE})
        home.write_shop(shop)
    with database.reading() as connection:
        customers, messages, arrived = (
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (ids, journal.journal, journal.messages)
        )
    own = home_id.read(home)
    lost = 0 if has_lake else max(0, arrived - messages)
    return Attached(own.id if own else "", customers, messages, lost, has_lake)


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
