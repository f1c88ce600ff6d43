"""Bringing a simulated shop into a home, and extending it to the present."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any

from core.calendar import day_of
from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from core.shop import Clock, Shop
from core.storage.duckdb_engine import connect
from events import lake
from events.lake import shops
from events.lake.metadata import LakeMetadata
from events.simulation import simulate

SIMULATE = "simulate"
"""The source of a simulated shop."""


def simulate_shop(
    home: Home, customers: int, seed: int, years: float, replace: bool = False, progress: Progress = silent
) -> dict[str, Any]:
    """Simulate a shop up to the present; a shop that was simulated before is extended to the present.

    Raises:
        PatronError: the home has another shop; nothing was changed.
    """
    now = Clock().now()
    before = lake.metadata(home) if lake.exists(home) and not replace else None
    if before:
        plan = _plan(home, before)
        if (plan.seed, plan.customers, plan.years) != (seed, customers, years):
            raise PatronError(
                f"{home.path} holds a simulated shop of {plan.customers:,} customers with seed"
                f" {plan.seed}; use another PATRON_HOME, or --replace to simulate over"
                f" it{shops.replacement_loss(home)}"
            )
    else:
        start = now.date() - timedelta(days=round(years * 365.25))
        plan = simulate.Plan(seed=seed, customers=customers, years=years, start=start)
    forgotten = shops.messages_received(home) if replace else 0
    record = write(home, plan, now, progress, add=before is not None, replace=replace)
    if replace:
        shops.remove_features(home)
    return record | {"messages_forgotten": forgotten}


def extend_simulation(home: Home, progress: Progress = silent) -> bool:
    """Extend a simulated shop to today; returns whether there was anything to do."""
    before = lake.metadata(home)
    if before.source != SIMULATE:
        return False
    if before.simulated_day is None or before.simulated_day >= home.shop().today() - 1:
        return False
    write(home, _plan(home, before), Clock().now(), progress, add=True)
    return True


def _plan(home: Home, before: LakeMetadata) -> simulate.Plan:
    if before.source != SIMULATE or before.plan is None:
        raise PatronError(
            f"{home.path} holds another shop ({before.source}); nothing was changed. Use another"
            f" PATRON_HOME, or --replace to simulate over it{shops.replacement_loss(home)}"
        )
    return simulate.Plan(**{**before.plan, "start": date.fromisoformat(before.plan["start"])})


def write(
    home: Home,
    plan: simulate.Plan,
    now: datetime,
    progress: Progress,
    *,
    add: bool = False,
    replace: bool = False,
) -> dict[str, Any]:
    """Write a simulation. An extension simulates the same events again, and arrived events stay."""
    backend = connect()
    simulate.simulate(backend.con, plan, now, progress)
    record = {
        "source": SIMULATE,
        "plan": {**asdict(plan), "start": plan.start.isoformat()},
        "simulated_day": day_of(now, plan.time_zone),
    }
    metadata = lake.write(home, backend.con, plan.time_zone, record, progress, add=add, replace=replace)
    home.write_shop(Shop(SIMULATE, plan.time_zone, plan.currency, Clock(), home.tiers()))
    return metadata.record | {"customers": plan.customers}
