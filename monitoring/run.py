"""Drift monitoring of a home: each champion's reference against the predictions logged lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

import records
from core.home import Home
from core.progress import Progress, silent
from core.storage import duckdb_engine
from events import lake
from events.warehouse import is_in_warehouse
from features.group import compute
from features.groups import features_of
from features.offline import boundaries, populations
from models.registry.bundle import FittedModel
from models.registry.registry import Registry
from models.registry.versions import NoChampion
from monitoring import report
from monitoring.check import IDS, DriftReport, check, scored_rows
from monitoring.matured import level_of
from records.batches import DAY, KEY


@dataclass(frozen=True)
class Watched:
    """A report and its files; ``html`` is None if Evidently failed."""

    report: DriftReport
    json: Path
    html: Path | None


def monitor(
    home: Home,
    names: Sequence[str],
    days: int,
    registry: Registry,
    progress: Progress = silent,
    backend: Any = None,
) -> tuple[list[Watched], dict[str, str]]:
    """Compare the predictions of the last ``days`` with each champion's reference, and write reports.

    Args:
        backend: Spark, which reads the log and computes the reference customers for the picture; None for
            DuckDB and the home's own engine.

    Returns:
        The reports, and by name why a model has no champion.

    Raises:
        PatronError: nothing was scored yet, a champion cannot be used, or no model has a champion.
    """
    now = home.shop().now()
    since = now - timedelta(days=days)
    champions, absent = [], {}
    for name in names:
        try:
            champions.append(registry.champion(name))
        except NoChampion as error:
            absent[name] = str(error)
    if not champions:
        raise NoChampion("\n".join(absent.values()))
    counting = backend or duckdb_engine.connect(home.path)
    logged = records.read(home, since, now, counting)
    progress("features of reference customers", 0.0)
    references = reference_rows(home, champions, backend)
    watched = []
    for i, champion in enumerate(champions):
        progress(f"drift of {champion.name}", i / len(champions))
        verdict = check(counting, champion.name, champion.reference, logged, since, now, champion.version)
        verdict = verdict.with_level(level_of(home, champion, days, counting))
        progress(f"report of {champion.name}", (i + 0.4) / len(champions))
        current = current_rows(
            counting, scored_rows(champion.name, champion.version, logged.vectors), verdict.customers
        )
        paths = report.write(verdict, references[champion.name], current, home.reports)
        watched.append(Watched(verdict, *paths))
    progress("drift", 1.0)
    return watched, absent


def current_rows(backend: Any, vectors: ir.Table, customers: int) -> pd.DataFrame:
    """The last of the vectors of about ``report.MAX_ROWS`` customers, drawn by a hash of the key.

    Args:
        vectors: :func:`monitoring.check.scored_rows`. customers: how many customers they are of.
    """
    if customers > report.MAX_ROWS:
        vectors = populations.sample(vectors, report.MAX_ROWS / customers)
    later = ibis.window(group_by=KEY, order_by=ibis.desc(DAY))
    last = vectors.mutate(later_days=ibis.row_number().over(later)).filter(ibis._.later_days == 0)
    frame: pd.DataFrame = backend.to_pyarrow(last.drop(*IDS, "later_days")).to_pandas()
    return frame


def reference_rows(
    home: Home, champions: Sequence[FittedModel], backend: Any = None
) -> dict[str, pd.DataFrame | None]:
    """By model, the features of about ``report.MAX_ROWS`` customers as of its training, from the events.

    Models of one training are computed by one query.

    Args:
        backend: the engine that computes them; None for the home's own.
    """
    backend = lake.backend_of(home) if backend is None or is_in_warehouse(home) else backend
    known, zone = features_of(home), home.shop().time_zone
    by_moment: dict[str, list[FittedModel]] = {}
    for champion in champions:
        by_moment.setdefault(champion.manifest["as_of"], []).append(champion)
    rows: dict[str, pd.DataFrame | None] = {}
    for moment, trained in by_moment.items():
        as_of = datetime.fromisoformat(moment)
        names = dict.fromkeys(name for champion in trained for name in champion.features if name in known)
        features = [known[name] for name in names]
        events = boundaries.load_events(features, home, backend, [as_of])
        population = populations.everyone(events, as_of, zone)
        if (customers := trained[0].reference["rows"]) > report.MAX_ROWS:
            population = populations.sample(population, report.MAX_ROWS / customers)
        frame = backend.to_pyarrow(compute(events, population, features)).to_pandas()
        for champion in trained:
            own = [name for name in champion.features if name in known]
            rows[champion.name] = frame[own] if len(frame) else None
    return rows
