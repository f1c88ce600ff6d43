"""Boundaries of segments, computed once a month from all customers and stored.

The boundaries in force at a snapshot's moment are those of the latest first of a month. They are computed
from the data known then, so history does not see its future, and a customer's segment changes because of
other customers once a month at most. A shop younger than its first monthly snapshot has them after some days
and weeks, so that it has segments from the first day. Tastes are computed at the first month with
``MIN_CUSTOMERS_FOR_TASTES`` customers, and on each first of January after that.

``snapshots/<generation>/boundaries-<recipe>/measures-<moment>.parquet`` and ``taste-<moment>.parquet``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.sql import SQLBackend

import core.files
from core.home import Home
from events import lake
from events.schema import BOUNDARIES, Events, visible
from features.group import Feature, FeatureGroup, compute
from features.groups.definition_cache import definition
from features.groups.segments import segments, shares
from features.offline.boundary_values import quintiles, taste_centres, taste_names, tier_bounds
from features.offline.populations import boundary_moments, everyone, origins
from features.offline.snapshot_set import FILE_TIME
from features.text import opinions

Stored = Callable[[FeatureGroup, datetime], ir.Table | None]
MIN_CUSTOMERS_FOR_TASTES = 100
RECIPE = 1  # increase it when the computation below changes


def nothing_stored(_group: FeatureGroup, _as_of: datetime) -> None:
    """A ``stored`` function for when nothing was computed before."""


def with_boundaries(
    home: Home,
    backend: SQLBackend,
    events: Events,
    as_ofs: Sequence[datetime],
    stored: Stored = nothing_stored,
) -> Events:
    """The event tables with the boundaries in force at these moments.

    Args:
        stored: returns the values that a group reads as of a moment, if they were computed before.
    """
    files = _learnt(home, backend, events, as_ofs, stored)
    if files:
        rows = backend.read_parquet(sorted(files)).select(*BOUNDARIES)
        events = replace(events, boundaries=rows.cast(BOUNDARIES))
    return events


def load_events(
    features: Iterable[Feature], home: Home, backend: SQLBackend, as_ofs: Sequence[datetime]
) -> Events:
    """The event tables, with opinions and boundaries only if one of the features needs them."""
    events, groups = lake.read(home, backend), {feature.group for feature in features}
    if any(group.reads_opinions for group in groups):
        events = opinions.with_opinions(backend, events, opinions.TextReader.of(home))
    return with_boundaries(home, backend, events, as_ofs) if any(group.reads for group in groups) else events


def _learnt(
    home: Home, backend: SQLBackend, events: Events, as_ofs: Sequence[datetime], stored: Stored
) -> set[Path]:
    """The files with the boundaries in force at these moments; missing ones are computed."""
    moments, tastes = boundary_moments(home), _taste_months(home, backend, events, origins(home))
    wanted = {("measures", max((m for m in moments if m <= t), default=None)) for t in as_ofs}
    wanted |= {("taste", max((m for m in tastes if m <= t), default=None)) for t in as_ofs}
    files = set()
    for kind, moment in wanted:
        if moment is None:
            continue
        path = _file(home, kind, moment)
        if not path.exists():
            rows = (
                _tastes(home, events, moment) if kind == "taste" else _measures(home, events, moment, stored)
            )
            _write(rows, moment, path)
        files.add(path)
    return files


def missing(home: Home, as_of: datetime) -> bool:
    """Whether boundaries in force at a moment were not computed yet."""
    latest = _latest(home, as_of)
    return latest is not None and not _file(home, "measures", latest).exists()


def current_files(home: Home, as_of: datetime) -> tuple[Path, ...]:
    """The files of the boundaries in force at a moment, one of each kind."""
    latest = _latest(home, as_of)
    measures = [] if latest is None else [_file(home, "measures", latest)]
    tastes = sorted(_folder(home).glob("taste-*.parquet"))  # by time, as they are named
    newest = [path for path in tastes if path <= _file(home, "taste", as_of)][-1:]
    return (*(path for path in measures if path.exists()), *newest)


def same(home: Home, earlier: datetime, later: datetime) -> bool:
    """Whether the boundaries in force at two moments are the same; they are stored."""
    return current_files(home, earlier) == current_files(home, later)


def _latest(home: Home, as_of: datetime) -> datetime | None:
    """The moment of the measures in force at a moment; earlier events that arrive may change it."""
    return max((m for m in boundary_moments(home) if m <= as_of), default=None)


def table(files: Sequence[Path]) -> pa.Table:
    """Stored boundaries."""
    schema = ibis.schema(BOUNDARIES).to_pyarrow()
    return pa.concat_tables([schema.empty_table(), *(pq.read_table(file).cast(schema) for file in files)])


def _file(home: Home, kind: str, moment: datetime) -> Path:
    return _folder(home) / f"{kind}-{moment:{FILE_TIME}}.parquet"


def _folder(home: Home) -> Path:
    generation = lake.metadata(home).generation
    return home.snapshots / generation / f"boundaries-{recipe(home)}"


def recipe(home: Home) -> str:
    """A short digest of the computation of boundaries: the inputs, and the rule for tier A."""
    definitions = "".join(definition(feature) for feature in segments.reads.values())
    text = f"{RECIPE} {home.shop().tiers} {definitions}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _write(rows: pd.DataFrame, moment: datetime, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    types = {"valid_from": pa.timestamp("us"), "bound": pa.float64()}
    rows = rows.assign(valid_from=pd.Timestamp(moment).tz_localize(None))
    columns = {name: pa.array(rows[name], types.get(name, pa.string())) for name in BOUNDARIES}
    with core.files.replacing(path) as draft:
        pq.write_table(pa.table(columns), draft)


def _measures(home: Home, events: Events, moment: datetime, stored: Stored) -> pd.DataFrame:
    table = stored(segments, moment)
    if table is None:
        population = everyone(events, moment, home.shop().time_zone)
        table = compute(events, population, list(segments.reads.values()))
    facts = table.to_pandas()
    facts = facts[facts["orders_total"] > 0]
    money = facts["spend_total"] - facts["refunded_total"]
    measures = {"recency": facts["recency_days"], "frequency": facts["orders_total"], "money": money}
    bounds = {kind: quintiles(values.to_numpy(np.float64)) for kind, values in measures.items()}
    bounds["tier"] = tier_bounds(facts["net_spend_365d"].to_numpy(np.float64), home.shop().tiers)
    rows = [(kind, None, None, bound) for kind, values in bounds.items() for bound in values]
    return pd.DataFrame(rows, columns=["kind", "label", "category", "bound"])


def _taste_months(
    home: Home, backend: SQLBackend, events: Events, months: Sequence[datetime]
) -> list[datetime]:
    """The months at which tastes are computed: the first with enough customers, then each January."""
    lines = events.order_lines.filter(lambda t: t.category.notnull(), lambda t: t.amount > 0)
    known = lines.group_by("customer_key").aggregate(
        since=ibis.greatest(lines.timestamp, lines.received_at).min()
    )
    since = backend.to_pyarrow(known.order_by("since").limit(MIN_CUSTOMERS_FOR_TASTES).since).to_pylist()
    if len(since) < MIN_CUSTOMERS_FOR_TASTES:
        return []
    zone = ZoneInfo(home.shop().time_zone)
    able = [m for m in months if m.replace(tzinfo=None) > since[-1]]
    return able[:1] + [m for m in able[1:] if m.astimezone(zone).month == 1]


def _tastes(home: Home, events: Events, moment: datetime) -> pd.DataFrame:
    population = everyone(events, moment, home.shop().time_zone)
    by_category = shares(visible(events.order_lines, population)).to_pandas()
    matrix = (
        by_category.pivot(index="customer_key", columns="category", values="share").fillna(0).sort_index()
    )
    centres = taste_centres(matrix.to_numpy(np.float64))
    labels = taste_names(centres, matrix.to_numpy(np.float64).mean(axis=0), list(matrix.columns))
    rows = [
        ("taste", label, category, share)
        for label, centre in zip(labels, centres, strict=True)
        for category, share in zip(matrix.columns, centre, strict=True)
    ]
    return pd.DataFrame(rows, columns=["kind", "label", "category", "bound"])
