"""When customers are active and which channels they respond to: computed and stored by each build.

Of the 365 days before the build, for each customer:

- ``hours.parquet``: on how many days the customer was active in each hour of the day, by the clocks of the
  customer's time zone (the trait ``timezone``, where it is declared), else of the shop's: orders, visits,
  carts, and messages that were opened or clicked;
- ``channels.parquet``: per channel the messages that were sent, and those that were responded to: by events
  (opened or clicked), or by the contacts and outcomes of decisions. Where both are known, the larger number
  counts, since they can be the same messages.

:mod:`features.offline.habit_profiles` reads them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from ibis.backends.sql import SQLBackend

from core import files
from core.calendar import micros
from core.home import Home
from core.storage.database import Database
from events import lake
from events.schema import Events, latest
from events.taxonomy import CARTS, VISITS
from features.offline.snapshot_set import SnapshotSet
from records.contacts.tables import contacts
from records.tables import conversions, outcomes

HOURS, CHANNELS = "hours.parquet", "channels.parquet"
WINDOW = timedelta(days=365)
HOUR_COLUMNS = tuple(f"hour_{hour}" for hour in range(24))
TIME_ZONE = "trait_timezone"
RESPONSES = ("opened", "clicked")
RESPONDED = ("clicked", "accepted", "converted")
"""The outcomes of a contact that are responses."""
_COUNTS = ["sent", "responded"]
_AS_OF = b"as_of"


def folder_of(home: Home) -> Path:
    """The folder of both files."""
    return home.snapshots / lake.metadata(home).generation


def write(home: Home, built: SnapshotSet) -> None:
    """Compute and store both, each in one step, unless a build of the same moment has stored them."""
    folder = folder_of(home)
    if all(_moment_of(folder / name) == built.current.isoformat() for name in (HOURS, CHANNELS)):
        return
    backend = lake.backend_of(home, spill=True)
    events, as_of = lake.read(home, backend), built.current
    own_zones = _own_zones(backend, built)
    by_hour = backend.to_pyarrow(_active_hours(events, as_of, home.shop().time_zone, own_zones)).to_pandas()
    keys, rows = np.unique(by_hour["customer_key"].to_numpy(np.int64), return_inverse=True)
    counts = np.zeros((len(keys), 24), np.uint16)
    counts[rows, by_hour["hour"].to_numpy(np.int64)] = by_hour["days"].to_numpy(np.uint16)
    hours = dict(zip(HOUR_COLUMNS, counts.T, strict=True))
    messages = backend.to_pyarrow(_messages(events, as_of)).to_pandas()
    known = pd.concat([messages, _contacts(home, as_of)])
    channels = known.groupby(["customer_key", "channel"], as_index=False)[_COUNTS].max()
    channels["responded"] = channels[_COUNTS].min(axis=1)
    _store(folder / HOURS, pa.table({"customer_key": keys, **hours}), as_of)
    _store(folder / CHANNELS, pa.Table.from_pandas(channels, preserve_index=False), as_of)


def _store(path: Path, table: pa.Table, as_of: datetime) -> None:
    with files.replacing(path) as draft:
        pq.write_table(table.replace_schema_metadata({_AS_OF: as_of.isoformat()}), draft)


def _moment_of(path: Path) -> str | None:
    """The moment of the build that stored a file; None if there is no such file."""
    if not path.exists():
        return None
    stored: bytes = (pq.read_schema(path).metadata or {}).get(_AS_OF, b"")
    return stored.decode()


@ibis.udf.scalar.builtin(name="timezone", signature=(("string", "timestamp"), "timestamp('UTC')"))
def _with_zone(zone, moment):  # type: ignore[no-untyped-def]
    """The moment of a timestamp without a zone."""


@ibis.udf.scalar.builtin(name="timezone", signature=(("string", "timestamp('UTC')"), "timestamp"))
def _local(zone, moment):  # type: ignore[no-untyped-def]
    """What the clocks of a zone show at a moment."""


def _own_zones(backend: SQLBackend, built: SnapshotSet) -> ir.Table | None:
    """The ``customer_key`` and ``zone`` of customers with a time zone, if the trait is declared."""
    for group in built.folders:
        path = built.folders[group] / f"{built.current:%Y%m%dT%H%M%SZ}.parquet"
        if TIME_ZONE in pq.read_schema(path).names:
            table = pq.read_table(path, columns=["customer_key", TIME_ZONE]).rename_columns(
                ["customer_key", "zone"]
            )
            names = backend.sql("SELECT name FROM pg_timezone_names()", schema={"name": "string"})
            known = backend.to_pyarrow(names)["name"].to_pylist()
            rows = table.to_pandas().dropna()
            rows["zone"] = rows["zone"].str.strip()
            rows = rows[rows["zone"].isin(set(known))]
            return ibis.memtable(rows) if len(rows) else None
    return None


def _active_hours(events: Events, as_of: datetime, shop_zone: str, own_zones: ir.Table | None) -> ir.Table:
    """``customer_key``, ``hour`` and the number of ``days`` on which the customer was active in it."""
    activities = events.activities.filter(events.activities.kind.isin((*VISITS, *CARTS, *RESPONSES)))
    active = _within(latest(events.order_lines), as_of).union(_within(activities, as_of))
    zone: ir.StringValue = ibis.literal(shop_zone)
    if own_zones is not None:
        active = active.left_join(own_zones, "customer_key").select("customer_key", "timestamp", "zone")
        zone = active.zone.fill_null(shop_zone)
    local = _local(zone, _with_zone("UTC", active.timestamp))
    by_hour = active.select("customer_key", day=local.date(), hour=local.hour()).distinct()
    return by_hour.group_by("customer_key", "hour").aggregate(days=by_hour.count())


def _messages(events: Events, as_of: datetime) -> ir.Table:
    """``customer_key``, ``channel``, and how many messages were ``sent`` and ``responded`` to.

    The events of one channel, reference and day are one message.
    """
    kinds = events.activities.kind.isin(("sent", *RESPONSES)) & events.activities.channel.notnull()
    stated = _within(events.activities.filter(kinds), as_of, "channel", "reference", "kind", "day")
    stated = stated.mutate(is_sent=stated.kind == "sent")
    messages = stated.select("customer_key", "channel", "reference", "day", "is_sent").distinct()
    return messages.group_by("customer_key", "channel").aggregate(
        sent=messages.count(where=messages.is_sent), responded=messages.count(where=~messages.is_sent)
    )


def _within(table: ir.Table, as_of: datetime, *columns: str) -> ir.Table:
    """The events of the window that were known at its end."""
    end = as_of.astimezone(UTC).replace(tzinfo=None)
    seen = (table.timestamp < end) & (table.timestamp >= end - WINDOW) & (table.received_at <= end)
    return table.filter(seen).select("customer_key", "timestamp", *columns)


def _contacts(home: Home, as_of: datetime) -> pd.DataFrame:
    """The contacts of decisions, as :func:`_messages` returns messages."""
    columns = ["customer_key", "channel", *_COUNTS]
    if not home.has_database:
        return pd.DataFrame(columns=columns)
    responded = sa.or_(
        sa.exists().where(outcomes.c.decision_id == contacts.c.decision_id, outcomes.c.kind.in_(RESPONDED)),
        sa.exists().where(conversions.c.decision_id == contacts.c.decision_id),
    )
    statement = (
        sa.select(
            contacts.c.customer_key,
            contacts.c.channel,
            sa.func.count(),
            sa.func.sum(sa.case((responded, 1), else_=0)),
        )
        .where(contacts.c.at_us > micros(as_of - WINDOW), contacts.c.at_us <= micros(as_of))
        .group_by(contacts.c.customer_key, contacts.c.channel)
    )
    database = Database(home)
    with database.reading() as connection:
        rows = [tuple(row) for row in connection.execute(statement)]
    return pd.DataFrame(rows, columns=columns)
