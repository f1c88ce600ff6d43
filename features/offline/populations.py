"""Populations: customers at moments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
from ibis.backends.sql import SQLBackend

from core.calendar import day_of, midnight, months
from core.home import Home
from events import lake
from events.schema import POPULATION, Events

HISTORY_DAYS = 90  # minimum history of a monthly snapshot
PRIME = 2**31 - 1
OFFSET = 1_000_003  # without it the fifth powers of the first keys would be small
YOUNG_SHOP_DAYS = (0, 7, 14, 28, 56)  # after the first event: when segments are learnt before that


def population_table(backend: SQLBackend, population: pd.DataFrame, zone: str) -> ir.Table:
    """A population frame (``customer_key``, ``as_of`` in UTC) as a table with ``as_of_day``."""
    moments = population["as_of"].astype("datetime64[us]")
    local = moments.dt.tz_localize("UTC").dt.tz_convert(zone)
    days = (local.dt.tz_localize(None).dt.normalize() - pd.Timestamp(0)).dt.days
    data = pa.table(
        {
            "customer_key": pa.array(population["customer_key"], "int64"),
            "as_of": pa.array(moments, pa.timestamp("us")),
            "as_of_day": pa.array(days, "int32"),
        }
    )
    return backend.create_table(ibis.util.gen_name("population"), data, temp=True)


def everyone(events: Events, as_of: datetime, zone: str) -> ir.Table:
    """All customers known at ``as_of``, as a population; merged customers once."""
    return everyone_at(events, [as_of], zone)


def everyone_at(
    events: Events, as_ofs: Sequence[datetime], zone: str, known: ir.Table | None = None
) -> ir.Table:
    """All customers known at each of these moments.

    Args:
        known: the result of :func:`first_known`, if it was computed before; else the events are read once.
    """
    known = first_known(events) if known is None else known
    moments = {
        "as_of": pa.array([as_of.replace(tzinfo=None) for as_of in as_ofs], pa.timestamp("us")),
        "as_of_day": pa.array([day_of(as_of, zone) for as_of in as_ofs], pa.int32()),
    }
    pairs = known.cross_join(ibis.memtable(pa.table(moments)))
    pairs = pairs.filter(pairs.since <= pairs.as_of)
    if events.merges is not None:
        merged = events.merges.group_by("customer_key").aggregate(gone=events.merges["at"].min())
        pairs = pairs.left_join(merged, "customer_key")
        pairs = pairs.filter(pairs.gone.isnull() | (pairs.gone > pairs.as_of))
    return pairs.select(*POPULATION).cast(POPULATION)


def sizes(events: Events, as_ofs: Sequence[datetime], zone: str) -> dict[datetime, int]:
    """The number of customers known at each of these moments."""
    if not as_ofs:
        return {}
    return counted(everyone_at(events, as_ofs, zone), as_ofs)


def counted(population: ir.Table, as_ofs: Sequence[datetime]) -> dict[datetime, int]:
    """The number of customers of a population at each of these moments."""
    counts = population.group_by("as_of").aggregate(customers=population.count())
    by_moment = {row["as_of"]: row["customers"] for row in counts.to_pyarrow().to_pylist()}
    return {as_of: by_moment.get(as_of.replace(tzinfo=None), 0) for as_of in as_ofs}


def sample(population: ir.Table, share: float) -> ir.Table:
    """The rows of a share of the customers, each with all moments or none, by a hash of the key.

    Every engine draws the same customers, and a larger share contains those of a smaller one.
    """
    return population.filter(draw(population.customer_key) < int(share * PRIME))


def draw(key: ir.IntegerValue) -> ir.IntegerValue:
    """A number below ``PRIME`` by which a customer is drawn.

    It is the fifth power modulo ``PRIME``, which gives different numbers to keys below it, as 5 has no factor
    in common with ``PRIME`` - 1. Every engine computes it with integers of 64 bits.
    """
    base = (key + OFFSET) % PRIME
    square = base * base % PRIME
    return square * square % PRIME * base % PRIME


def first_known(events: Events) -> ir.Table:
    """The first moment ``since`` at which each ``customer_key`` is known."""
    tick = ibis.interval(microseconds=1)  # an event is known after its moment, not at it
    sightings = ibis.union(
        *(
            table.select("customer_key", since=ibis.greatest(table.timestamp + tick, table.received_at))
            for table in (events.order_lines, events.traits, events.activities)
        ),
        distinct=False,
    )
    return sightings.group_by("customer_key").aggregate(since=sightings.since.min())


def origins(home: Home) -> list[datetime]:
    """The moments of the monthly snapshots: midnight on the first of each month of the history."""
    shop = home.shop()
    first_day = lake.metadata(home).first_day
    if first_day is None:
        return []
    firsts = months(first_day + HISTORY_DAYS, shop.today())
    moments = [midnight(first, shop.time_zone) for first in firsts]
    return [moment for moment in moments if moment <= shop.now()]


def boundary_moments(home: Home) -> list[datetime]:
    """The moments of segments' boundaries: the monthly snapshots', and earlier ones of a young shop."""
    shop, first_day = home.shop(), lake.metadata(home).first_day
    if first_day is None:
        return []
    young = (midnight(first_day + days, shop.time_zone) for days in YOUNG_SHOP_DAYS)
    return [*(moment for moment in young if moment <= shop.now()), *origins(home)]


def month_before(months: Sequence[datetime], now: datetime) -> Sequence[datetime]:
    """The first of a month at least four weeks ago, with which the present is compared; none or one."""
    return [moment for moment in months if now - moment >= timedelta(days=28)][-1:]
