"""Computes snapshots of feature groups for populations, as Parquet for Feast or as a frame.

``snapshots/<generation of the events>/<group>-<definitions>/<as_of>.parquet``: a change of the
events, of a group's definitions, or of the text classifier leads to a new folder, so files never mix.
A pointer next to the groups' folders names the files of the latest build.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from core.settings import FeatureSettings
from events import lake
from events.identity import Identity
from events.warehouse import is_in_warehouse
from features import frames
from features.group import Feature, FeatureGroup, compute
from features.groups import features_of, groups_of
from features.groups.definition_cache import definition
from features.offline import boundaries, current, habits, kpis, populations, segment_overview
from features.offline.engines import BuildEngine, engine_of
from features.offline.engines.groups import GroupBuild
from features.offline.increments import bases, row_digests
from features.offline.increments.advance import Advance
from features.offline.increments.increment import NOBODY, between
from features.offline.snapshot_set import FILE_TIME, SnapshotSet, snapshot_path
from features.text import opinions


def snapshot(
    population: pd.DataFrame,
    features: Sequence[Feature | str] | None = None,
    home: Home | None = None,
) -> pd.DataFrame:
    """The features of any customers as of any moments, computed from the events.

    Args:
        population: columns ``customer_id`` and ``as_of``; a moment without a zone is in the shop's zone, so
            ``2011-09-01`` is the beginning of that day in the shop.
        features: features or their names; all by default.
        home: the home; by default the one of ``PATRON_HOME``.

    Returns:
        ``customer_id``, ``as_of`` (UTC) and one column per feature, in the population's order, with the types
        of :mod:`features.frames`.

    Raises:
        PatronError: a column, a feature or a customer is unknown.
    """
    home = home or FeatureSettings().open_home()
    known = features_of(home)
    wanted = [_feature(f, known) for f in (features if features is not None else known.values())]
    for column in ("customer_id", "as_of"):
        if column not in population:
            raise PatronError(f"the population has no column {column}; it needs customer_id and as_of")
    zone = home.shop().time_zone
    ids = population["customer_id"].astype(str)
    keys = Identity(home).keys(list(ids.unique()))
    if missing := len(set(ids) - set(keys)):
        raise PatronError(f"{missing} of the customers asked for are not known in {home.path}")
    moments = pd.to_datetime(population["as_of"])
    moments = moments.dt.tz_localize(zone) if moments.dt.tz is None else moments
    pairs = pd.DataFrame(
        {
            "customer_key": ids.map(keys).to_numpy(),
            "as_of": moments.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]").to_numpy(),
        }
    )
    backend = lake.backend_of(home)
    table = populations.population_table(backend, pairs.drop_duplicates(), zone)
    as_ofs = [moment.to_pydatetime().replace(tzinfo=UTC) for moment in pairs["as_of"].drop_duplicates()]
    values = compute(boundaries.load_events(wanted, home, backend, as_ofs), table, wanted).to_pandas()
    merged = pairs.merge(values, on=["customer_key", "as_of"], how="left")
    merged.insert(0, "customer_id", population["customer_id"].to_numpy())
    merged["as_of"] = merged["as_of"].dt.tz_localize("UTC")
    return frames.typed(merged.drop(columns="customer_key"), {feature.name: feature for feature in wanted})


def _feature(feature: Feature | str, known: Mapping[str, Feature]) -> Feature:
    if isinstance(feature, Feature):
        return feature
    if feature not in known:
        raise PatronError(f"there is no feature {feature!r}; there are {', '.join(sorted(known))}")
    return known[feature]


def version(group: FeatureGroup) -> str:
    """A short digest of all definitions of a group."""
    parts = "".join(definition(feature) for feature in group.features.values())
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def build(
    home: Home, monthly: bool = True, progress: Progress = silent, engine: BuildEngine | None = None
) -> SnapshotSet:
    """Compute missing snapshots: monthly ones, and the current features of all customers.

    Args:
        monthly: if False, only the current features, which suffice for serving, and the month before, with
            which segments are compared.
        engine: computes the snapshots; by default DuckDB, or the home's warehouse.
    """
    now = home.shop().now()
    generation = home.snapshots / lake.metadata(home).generation
    months = populations.origins(home)
    as_ofs = sorted({*(months if monthly else populations.month_before(months, now)), now})
    groups = groups_of(home)
    engine = engine or engine_of(home)
    before = current.built_at(home, generation.name)
    session = engine.backend if is_in_warehouse(home) else None  # which copies the events once
    if session is not None:
        row_digests.write(home, session, [t for t in as_ofs[-2:] if before is None or t > before])
    base = bases.choose(home, groups, folders_of(home), as_ofs)
    folders = store(home, as_ofs, progress, engine, base.moment)
    for old in home.snapshots.iterdir():
        if old != generation:
            shutil.rmtree(old)
    retained = {*months, now}
    complete = [
        t for t in sorted(retained) if all(snapshot_path(folders, group, t).exists() for group in groups)
    ]
    built = SnapshotSet(folders, tuple(complete), now, base.sentence)
    segment_overview.write(home, built)
    kpis.write(home, now, session)
    habits.write(home, built, session is not None or base.moment is None, session)
    retained |= {moment for moment in [before] if moment}  # may still be read
    paths = {group.name: snapshot_path(folders, group, now) for group in groups}
    current.write_pointer(generation, now, paths, home.shop().time_zone)
    _drop_others(folders, retained)
    row_digests.drop_others(home, now)
    return built


def _drop_others(folders: Mapping[str, Path], retained: set[datetime]) -> None:
    """Remove snapshots of former presents, since every day adds one."""
    names = {f"{as_of:{FILE_TIME}}.parquet" for as_of in retained}
    for folder in folders.values():
        for file in folder.glob("*.parquet"):
            if file.name not in names:
                file.unlink()


def folders_of(home: Home) -> dict[str, Path]:
    """The folder of each group's snapshots, by its name."""
    generation, groups = home.snapshots / lake.metadata(home).generation, groups_of(home)
    divided, reader = f"-{boundaries.recipe(home)}", opinions.TextReader.of(home)
    names = {g.name: f"{g.name}-{version(g)}" for g in groups}
    names |= {g.name: f"{names[g.name]}{divided}" for g in groups if g.reads}
    names |= {g.name: f"{names[g.name]}-{reader.recipe}" for g in groups if g.reads_opinions}
    return {name: generation / folder for name, folder in names.items()}


def store(
    home: Home,
    as_ofs: Sequence[datetime],
    progress: Progress = silent,
    engine: BuildEngine | None = None,
    base: datetime | None = None,
) -> dict[str, Path]:
    """Compute the features of all customers as of these moments, unless they are stored.

    Args:
        base: a moment before the last one, from whose snapshots those of the last are made: it is stored, or
            among ``as_ofs``. By default all are computed from the whole history.

    Returns:
        The folder of each group, by its name.
    """
    folders, metadata = folders_of(home), lake.metadata(home)
    engine, zone = engine or engine_of(home), home.shop().time_zone
    events, reader = lake.read(home, engine.backend), opinions.TextReader.of(home)
    build = GroupBuild(engine, events, groups_of(home), folders, zone, reader)
    whole, last = (as_ofs, []) if base is None else (as_ofs[:-1], as_ofs[-1:])
    # Moments are computed together, since each query takes at least a second.
    size = max(1, engine.max_orders_per_query // max(metadata.orders, 1))
    chunks = [*(whole[i : i + size] for i in range(0, len(whole), size)), *([last] if last else [])]
    with ExitStack() as resources:
        advance: Advance | None = None
        for i, chunk in enumerate(chunks):
            progress(f"features as of {chunk[0]:%Y-%m-%d}", i / len(chunks) / 2)
            if base is not None and chunk is last:
                rewritten = row_digests.changed(home, base, last[0]) if is_in_warehouse(home) else NOBODY
                advance = Advance(build, between(build, base, last[0], resources, rewritten), resources)
                advance.write(reading=False)
            build.compute(chunk, reading=False)
        # Boundaries are computed from these; the groups that need boundaries come last.
        build.events = boundaries.with_boundaries(
            home, engine.backend, build.events, as_ofs, lambda group, as_of: build.facts(group, [as_of])
        )
        for i, chunk in enumerate(chunks):
            progress(f"segments as of {chunk[0]:%Y-%m-%d}", (1 + i / len(chunks)) / 2)
            if advance is not None and chunk is last and boundaries.same(home, *advance.moments):
                advance.write(reading=True)
            build.compute(chunk, reading=True)
    progress("features", 1.0)
    return folders
