"""Drift monitoring of a home: each champion's reference against the predictions logged lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

import records
from core.home import Home
from core.progress import Progress, silent
from events import lake
from features.group import compute
from features.groups import features_of
from features.offline import boundaries, populations
from models.registry.bundle import FittedModel
from models.registry.registry import Registry
from models.registry.versions import NoChampion
from monitoring import report
from monitoring.check import DriftReport, check, scored_rows
from monitoring.matured import level_of


@dataclass(frozen=True)
class Watched:
    """A report and its files; ``html`` is None if Evidently failed."""

    report: DriftReport
    json: Path
    html: Path | None


def monitor(
    home: Home, names: Sequence[str], days: int, registry: Registry, progress: Progress = silent
) -> tuple[list[Watched], dict[str, str]]:
    """Compare the predictions of the last ``days`` with each champion's reference, and write reports.

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
    logged = records.read(home, since, now)
    watched = []
    for i, champion in enumerate(champions):
        progress(f"drift of {champion.name}", i / len(champions))
        verdict = check(
            champion.name, champion.reference, logged.vectors, logged.answers, since, now, champion.version
        )
        verdict = verdict.with_level(level_of(home, champion, days))
        progress(f"report of {champion.name}", (i + 0.4) / len(champions))
        current = scored_rows(champion.name, champion.version, logged.vectors)
        paths = report.write(verdict, reference_rows(home, champion), current, home.reports)
        watched.append(Watched(verdict, *paths))
    progress("drift", 1.0)
    return watched, absent


def reference_rows(home: Home, champion: FittedModel) -> pd.DataFrame | None:
    """The features of about ``report.MAX_ROWS`` customers as of the champion's training, from the events."""
    backend = lake.backend_of(home)
    as_of = datetime.fromisoformat(champion.manifest["as_of"])
    known = features_of(home)
    features = [known[name] for name in champion.features if name in known]
    events = boundaries.load_events(features, home, backend, [as_of])
    population = populations.everyone(events, as_of, home.shop().time_zone)
    if (customers := champion.reference["rows"]) > report.MAX_ROWS:
        population = populations.sample(population, report.MAX_ROWS / customers)
    frame = compute(events, population, features).to_pandas()
    return frame.drop(columns=["customer_key", "as_of"]) if len(frame) else None
