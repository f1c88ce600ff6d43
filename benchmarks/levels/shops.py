"""The shops of the benchmark: two real ones, and five that are simulated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.quality import cdnow, online_retail
from core.home import Home
from core.progress import silent
from core.shop import Clock
from events.files.imports import import_file
from events.simulation import simulated_shop
from events.simulation.truth import Plan
from features.groups import GROUPS
from features.offline import snapshots
from features.workspace import Workspace

NOW = datetime(2026, 6, 1, tzinfo=UTC)
IMPORTED = {"online_retail": (online_retail.FILE, online_retail.SOURCE), "cdnow": (cdnow.FILE, "cdnow")}
SIMULATED: dict[str, dict[str, Any]] = {
    "steady": {"seasonality": 0.0},
    "growing": {"growth": 2.0},
    "shrinking": {"growth": 0.5},
    "seasonal": {"seasonality": 2.0},
    "young": {"years": 1.2, "customers": 1200},
}


@contextmanager
def opened(name: str, data: Path) -> Iterator[Workspace]:
    """A shop with its features."""
    with TemporaryDirectory() as folder:
        home = Home(Path(folder))
        if name in IMPORTED:
            file, source = IMPORTED[name]
            import_file(home, str(data / file), source)
        else:
            _simulate(home, plan_of(name))
        built = snapshots.build(home)
        workspace = Workspace(home, built)
        workspace.store.apply(GROUPS, built.folders)
        yield workspace


def exists(name: str, data: Path) -> bool:
    """Whether a shop can be made: it is simulated, or its file is in the folder."""
    return name in SIMULATED or (data / IMPORTED[name][0]).exists()


def plan_of(name: str) -> Plan:
    """The plan of a simulated shop, whose history ends at ``NOW``."""
    values: dict[str, Any] = {"customers": 2000, "years": 3.0, "seed": 11} | SIMULATED[name]
    return Plan(start=NOW.date() - timedelta(days=round(values["years"] * 365.25)), **values)


def _simulate(home: Home, plan: Plan) -> None:
    simulated_shop.write(home, plan, NOW, silent)
    home.write_shop(replace(home.shop(), clock=Clock(NOW)))
