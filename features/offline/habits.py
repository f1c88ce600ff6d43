"""When customers are active and which channels they respond to: computed and stored by each build.

Of the 365 days before the build, for each customer:

- ``hours.parquet``: on how many days the customer was active in each hour of the day, by the clocks of the
  customer's time zone (the trait ``timezone``, where it is declared), else of the shop's: orders, visits,
  carts, and messages that were opened or clicked;
- ``channels.parquet``: per channel the messages that were sent, and those that were responded to: by events
  (opened or clicked), or by the contacts and outcomes of decisions. Where both are known, the larger number
  counts, since they can be the same messages.

A build begins with the files of the last one: only customers with changed events are counted again.
:mod:`features.offline.habit_profiles` reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import available_timezones

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
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
from events.warehouse.local_time import MOMENT, local_time, local_times
from features.offline.increments.bases import MAX_AGE
from features.offline.increments.increment import LATE, changed
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
_AS_OF, _ZONES = b"as_of", b"zones"
_CHANNELS = pa.schema([("customer_key", "int64"), ("channel", "string"), *((n, "int64") for n in _COUNTS)])


def folder_of(home: Home) -> Path:
    """The folder of both files."""
    return home.snapshots / lake.metadata(home).generation


def write(home: Home, built: SnapshotSet, whole: bool = False, backend: SQLBackend | None = None) -> None:
    """Compute and store both, each in one step, unless a build of the same moment has stored them.

    Args:
        whole: do not begin with the files of the last build.
        backend: reads the events; by default see :func:`events.lake.backend_of`.
    """
    folder, as_of = folder_of(home), built.current
    backend = backend or lake.backend_of(home, spill=True)
    own_zones = _own_zones(built)
    zones = f"{home.shop().time_zone} {'own' if own_zones is not None else ''}"
    base = _stored_moment([folder / HOURS, folder / CHANNELS], zones)
    if base == as_of:
        return
    events, others = lake.read(home, backend), dict[str, list[pa.Table]]()
    if base is not None and not whole and timedelta(0) < as_of - base <= MAX_AGE:
        keys = _changed_since(home, backend, events, base, as_of)
        events = _only(events, keys)
        others = {name: [_without(folder / name, keys)] for name in (HOURS, CHANNELS)}
    active_hours = _active_hours(events, as_of, backend.name, home.shop().time_zone, own_zones)
    hours = _hours(backend.to_pyarrow(active_hours))
    messages = backend.to_pyarrow(_messages(events, as_of)).to_pandas()
    known = pd.concat([messages, _contacts(home, as_of - WINDOW, as_of)])
    channels = known.groupby(["customer_key", "channel"], as_index=False)[_COUNTS].max()
    channels["responded"] = channels[_COUNTS].min(axis=1)
    for name, table in ((HOURS, hours), (CHANNELS, pa.Table.from_pandas(channels, _CHANNELS))):
        rows = pa.concat_tables([table.replace_schema_metadata(None), *others.get(name, ())])
        # By customer, and by channel: the columns before the counts.
        rows = rows.sort_by([(column, "ascending") for column in rows.column_names[:2]])
        _store(folder / name, rows, as_of, zones)


def _hours(by_hour: pa.Table) -> pa.Table:
    """A row per customer with the number of days of each hour, of a row per customer and hour."""
    keys, rows = np.unique(by_hour["customer_key"].to_numpy(), return_inverse=True)
    counts = np.zeros((len(keys), 24), np.uint16)
    counts[rows, by_hour["hour"].to_numpy()] = by_hour["days"].to_numpy()
    return pa.table({"customer_key": keys, **dict(zip(HOUR_COLUMNS, counts.T, strict=True))})


def _changed_since(
    home: Home, backend: SQLBackend, events: Events, base: datetime, as_of: datetime
) -> pa.Array:
    """The keys of customers with an event that became visible, was replaced or left the window since a
    moment, and of those with contacts, which are counted again.
    """
    keys = []
    for table in (events.order_lines, events.activities):
        start, end = (ibis.literal(_utc(at - WINDOW), "timestamp(6)") for at in (base, as_of))
        left = table.timestamp.between(start, end)
        rows = table.filter(left | changed(table, base - LATE, as_of))
        keys.append(backend.to_pyarrow(rows.select("customer_key").distinct())["customer_key"])
    traits = (
        events.traits.filter(changed(events.traits, base - LATE, as_of)).select("customer_key").distinct()
    )
    keys.append(backend.to_pyarrow(traits)["customer_key"])
    keys.append(
        pa.chunked_array([pa.array(_contacts(home, base - WINDOW, as_of)["customer_key"], pa.int64())])
    )
    return pc.unique(pa.chunked_array([chunk for key in keys for chunk in key.chunks], pa.int64()))


def _only(events: Events, keys: pa.Array) -> Events:
    """The orders and activities of some customers."""
    some = ibis.memtable(pa.table({"customer_key": keys}))
    lines, activities = (t.semi_join(some, "customer_key") for t in (events.order_lines, events.activities))
    return replace(events, order_lines=lines, activities=activities)


def _without(path: Path, keys: pa.Array) -> pa.Table:
    """The stored rows of the other customers."""
    rows = pq.read_table(path).replace_schema_metadata(None)
    return rows.filter(pc.invert(pc.is_in(rows["customer_key"], keys)))


def _store(path: Path, table: pa.Table, as_of: datetime, zones: str) -> None:
    with files.replacing(path) as draft:
        about = {_AS_OF: as_of.isoformat(), _ZONES: zones}
        pq.write_table(table.replace_schema_metadata(about), draft)


def _stored_moment(paths: Sequence[Path], zones: str) -> datetime | None:
    """The moment of the build that stored all of these files by these time zones; None if none did."""
    if not all(path.exists() for path in paths):
        return None
    about = [pq.read_schema(path).metadata or {} for path in paths]
    moments = {each.get(_AS_OF, b"").decode() for each in about}
    if len(moments) > 1 or any(each.get(_ZONES, b"").decode() != zones for each in about):
        return None
    return datetime.fromisoformat(moments.pop())


def _own_zones(built: SnapshotSet) -> pd.DataFrame | None:
    """The ``customer_key`` and ``zone`` of customers with a time zone, if the trait is declared."""
    for group in built.folders:
        path = built.folders[group] / f"{built.current:%Y%m%dT%H%M%SZ}.parquet"
        if TIME_ZONE in pq.read_schema(path).names:
            table = pq.read_table(path, columns=["customer_key", TIME_ZONE]).rename_columns(
                ["customer_key", "zone"]
            )
            rows = table.to_pandas().dropna()
            rows["zone"] = rows["zone"].str.strip()
            rows = rows[rows["zone"].isin(available_timezones())]
            return rows if len(rows) else None
    return None


def _active_hours(
    events: Events, as_of: datetime, engine: str, shop_zone: str, own_zones: pd.DataFrame | None
) -> ir.Table:
    """``customer_key``, ``hour`` and the number of ``days`` on which the customer was active in it.

    Args:
        engine: Ibis' name of the one that has the events.
    """
    activities = events.activities.filter(events.activities.kind.isin((*VISITS, *CARTS, *RESPONSES)))
    active = _within(latest(events.order_lines), as_of).union(_within(activities, as_of))
    if own_zones is None:
        local = local_time(engine, shop_zone, active.timestamp.cast(MOMENT))
    else:
        own = ibis.memtable(own_zones)
        active = active.left_join(own, "customer_key").select("customer_key", "timestamp", "zone")
        zones = sorted({shop_zone, *own_zones["zone"]})
        zone = active.zone.fill_null(shop_zone)
        local = local_times(engine, zone, zones, active.timestamp.cast(MOMENT))
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
    end = _utc(as_of)
    seen = (table.timestamp < end) & (table.timestamp >= end - WINDOW) & (table.received_at <= end)
    return table.filter(seen).select("customer_key", "timestamp", *columns)


def _utc(moment: datetime) -> datetime:
    """A moment as timestamps of events have it: UTC without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _contacts(home: Home, since: datetime, until: datetime) -> pd.DataFrame:
    """The contacts of decisions after a moment and until another, as :func:`_messages` returns messages."""
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
        .where(contacts.c.at_us > micros(since), contacts.c.at_us <= micros(until))
        .group_by(contacts.c.customer_key, contacts.c.channel)
    )
    database = Database(home)
    with database.reading() as connection:
        rows = [tuple(row) for row in connection.execute(statement)]
    return pd.DataFrame(rows, columns=columns)
