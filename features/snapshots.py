"""Populations × feature groups → snapshots, kept as Parquet for Feast or handed to a scientist.

``snapshots/<generation of the events>/<group>-<definitions>/<as_of>.parquet``: a change of the
events or of any definition of a group leads to a new folder, so files never mix.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from features import lake
from features.calendar import day_of, midnight, months
from features.errors import PatronError
from features.events import Events
from features.group import Feature, FeatureGroup
from features.groups import FEATURES, GROUPS
from features.home import Home
from features.identity import Identity
from features.progress import Progress, silent
from features.settings import FeatureSettings

FILE_TIME = "%Y%m%dT%H%M%SZ"
HISTORY_DAYS = 90  # a monthly snapshot needs at least this much history to say anything


def snapshot(
    population: pd.DataFrame,
    features: Sequence[Feature | str] | None = None,
    home: Home | None = None,
) -> pd.DataFrame:
    """The features of any customers as of any moments, computed from the events.

    Args:
        population: columns ``customer_id`` and ``as_of``; a moment without a zone is taken in
            the shop's, so ``2011-09-01`` is that day's beginning in the shop.
        features: features or their names; all by default.
        home: the shop; the one of ``PATRON_HOME`` by default.

    Returns:
        ``customer_id``, ``as_of`` (UTC) and one column per feature, in the population's order.

    Raises:
        PatronError: a column, a feature or a customer is unknown.
    """
    home = home or FeatureSettings().open_home()
    wanted = [_feature(f) for f in (features if features is not None else FEATURES.values())]
    for column in ("customer_id", "as_of"):
        if column not in population:
            raise PatronError(f"the population has no column {column}; it needs customer_id and as_of")
    zone = home.shop().time_zone
    ids = population["customer_id"].astype(str)
    keys = Identity(home.identity).keys(list(ids.unique()))
    if missing := len(set(ids) - set(keys)):
        raise PatronError(f"{missing} of the customers asked for are not known in {home.path}")
    moments = pd.to_datetime(population["as_of"])
    moments = moments.dt.tz_localize(zone) if moments.dt.tz is None else moments
    asked = pd.DataFrame(
        {
            "customer_key": ids.map(keys).to_numpy(),
            "as_of": moments.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]").to_numpy(),
        }
    )
    backend = lake.connect()
    table = population_table(backend, asked.drop_duplicates(), zone)
    values = compute(lake.read(home, backend), table, wanted).to_pandas()
    merged = asked.merge(values, on=["customer_key", "as_of"], how="left")
    merged.insert(0, "customer_id", population["customer_id"].to_numpy())
    merged["as_of"] = merged["as_of"].dt.tz_localize("UTC")
    return merged.drop(columns="customer_key")


def _feature(feature: Feature | str) -> Feature:
    if isinstance(feature, Feature):
        return feature
    if feature not in FEATURES:
        raise PatronError(f"there is no feature {feature!r}; there are {', '.join(sorted(FEATURES))}")
    return FEATURES[feature]


def population_table(backend: Backend, population: pd.DataFrame, zone: str) -> ir.Table:
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
    """All customers of whom anything was known at ``as_of``, as a population."""
    known = events.known_at(as_of)
    keys = ibis.union(
        known.order_lines.select("customer_key"), known.traits.select("customer_key"), distinct=True
    )
    return keys.mutate(
        as_of=ibis.literal(as_of.replace(tzinfo=None), "timestamp(6)"),
        as_of_day=ibis.literal(day_of(as_of, zone), "int32"),
    )


def compute(events: Events, population: ir.Table, features: Sequence[Feature]) -> ir.Table:
    """Features of any groups for a population: ``customer_key``, ``as_of``, then the features."""
    result = population.select("customer_key", "as_of")
    for group in dict.fromkeys(f.group for f in features):
        members = [f for f in features if f.group is group]
        values = group.compute(events, population, members)
        result = result.left_join(values, ["customer_key", "as_of"]).select(
            *(result[c] for c in result.columns), *(values[f.name] for f in members)
        )
    return result.select("customer_key", "as_of", *(f.name for f in features))


@dataclass(frozen=True)
class Built:
    """What a build left behind: one folder per group, and the moments it holds."""

    folders: dict[str, Path]
    as_ofs: tuple[datetime, ...]
    current: datetime

    def frame(self, group: FeatureGroup, as_of: datetime) -> pd.DataFrame:
        """One stored snapshot; integers stay integers where values are missing."""
        dtypes = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
        frame: pd.DataFrame = self.table(group, as_of).to_pandas(types_mapper=dtypes.get)
        return frame

    def table(self, group: FeatureGroup, as_of: datetime) -> pa.Table:
        """One stored snapshot as it is stored."""
        return pq.read_table(self.folders[group.name] / f"{as_of:{FILE_TIME}}.parquet")


def version(group: FeatureGroup) -> str:
    """A short digest of all definitions of a group."""
    parts = "".join(feature.definition() for feature in group.features.values())
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def origins(home: Home) -> list[datetime]:
    """The moments of the monthly snapshots: midnight on the first of each month of the history."""
    shop = home.shop()
    described = lake.describe(home)
    firsts = months(described["first_day"] + HISTORY_DAYS, shop.today())
    moments = [midnight(first, shop.time_zone) for first in firsts]
    return [moment for moment in moments if moment <= shop.now()]


def build(home: Home, monthly: bool = True, progress: Progress = silent) -> Built:
    """Compute what is not there yet: monthly snapshots, and everyone as of now.

    Args:
        monthly: with False only the present is computed, which is all that serving needs.
    """
    shop, now = home.shop(), home.shop().now()
    generation = lake.describe(home)["generation"]
    folders = {g.name: home.snapshots / generation / f"{g.name}-{version(g)}" for g in GROUPS}
    backend = lake.connect()
    events = lake.read(home, backend)
    as_ofs = sorted({*(origins(home) if monthly else ()), now})
    for i, as_of in enumerate(as_ofs):
        progress(f"features as of {as_of:%Y-%m-%d}", i / len(as_ofs))
        for group in GROUPS:
            path = folders[group.name] / f"{as_of:{FILE_TIME}}.parquet"
            if not path.exists():
                population = everyone(events, as_of, shop.time_zone)
                _write(backend, group.compute(events, population), path)
    progress("features", 1.0)
    for old in home.snapshots.iterdir():
        if old.name != generation:
            shutil.rmtree(old)
    stored = sorted(folders[GROUPS[0].name].glob("*.parquet"))
    held = (datetime.strptime(p.stem, FILE_TIME).replace(tzinfo=UTC) for p in stored)
    return Built(folders, tuple(held), now)


def _write(backend: Backend, values: ir.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    moment = values.as_of.cast("timestamp('UTC', 6)")
    # Feast may be asked for what was known by then, so a backfill is stamped with its as_of.
    draft = path.with_suffix(".draft")
    stamped = values.mutate(as_of=moment, created_at=moment).order_by("customer_key")
    # Through Arrow, which takes the types Ibis says; DuckDB's own differ (a sum is a HUGEINT).
    pq.write_table(backend.to_pyarrow(stamped), draft)
    os.replace(draft, path)
