"""Bringing a shop into a home: a file of orders, or a simulation."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from features import lake
from features.calendar import EPOCH, day_of, midnight
from features.errors import PatronError
from features.home import Clock, Home, Shop
from features.progress import Progress, silent
from features.sources import online_retail, simulate
from features.sources.accounts import Accounts

REPORT_ROWS = 20


@dataclass(frozen=True)
class Source:
    """A way in for files: how to read one, and the shop it belongs to."""

    read: Callable[[duckdb.DuckDBPyConnection, Path], Accounts]
    time_zone: str
    currency: str


SOURCES: dict[str, Source] = {
    "online-retail": Source(online_retail.read, online_retail.TIME_ZONE, online_retail.CURRENCY),
}


def import_file(
    home: Home,
    path: Path,
    source_name: str,
    as_of: str | None = None,
    replace: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Import a file as the shop of a home; the clock then stands at the end of its last day.

    Args:
        as_of: where the clock shall stand instead, a date or time in the shop's zone.
        replace: whether a shop that is there already may be replaced.

    Returns:
        What was read, kept and set aside; ``changed`` is False for a file imported before.

    Raises:
        PatronError: the file cannot be used, or the home holds another shop; nothing was changed.
    """
    if source_name not in SOURCES:
        raise PatronError(f"there is no source {source_name!r}; there are {', '.join(SOURCES)}")
    source = SOURCES[source_name]
    frozen = _moment(as_of, source.time_zone) if as_of else None
    if not path.is_file():
        raise PatronError(f"{path}: there is no such file")
    digest = _file_digest(path)
    held = lake.describe(home) if lake.exists(home) and not replace else None
    if held and held.get("file_digest") != digest:
        raise PatronError(
            f"{home.path} holds another shop ({held['source']}); nothing was changed. Use another"
            " PATRON_HOME, or --replace to import over it"
        )
    if held:
        described = held | {"changed": False}
    else:
        progress("reading", 0.1)
        backend = lake.connect()
        accounts = source.read(backend.con, path)
        progress("reading", 0.6)
        described = {"source": source_name, "file": path.name, "file_digest": digest}
        described |= {"imported_at": datetime.now(UTC).isoformat(timespec="seconds")} | accounts.as_dict()
        described |= _days(backend.con, source.time_zone)
        lake.write(home, backend.con, source.time_zone, described, progress)
        _forget_features(home)
        described["changed"] = True
    clock = Clock(frozen or midnight(described["last_day"] + 1, source.time_zone))
    home.write_shop(Shop(source_name, source.time_zone, source.currency, clock))
    return described | {"clock": clock.now().isoformat()}


def simulate_shop(
    home: Home, customers: int, seed: int, years: float, replace: bool = False, progress: Progress = silent
) -> dict[str, Any]:
    """Simulate a shop up to the present; one simulated before goes on to the present.

    Raises:
        PatronError: the home holds another shop; nothing was changed.
    """
    now = Clock().now()
    held = lake.describe(home) if lake.exists(home) and not replace else None
    plan = simulate.Plan(
        seed=seed, customers=customers, years=years,
        start=now.date() - timedelta(days=round(years * 365.25)),
    )  # fmt: skip
    if held and held["source"] == "simulate":
        plan = simulate.Plan(**{**held["plan"], "start": date.fromisoformat(held["plan"]["start"])})
        if (plan.seed, plan.customers, plan.years) != (seed, customers, years):
            raise PatronError(
                f"{home.path} holds a simulated shop of {plan.customers:,} customers with seed"
                f" {plan.seed}; use another PATRON_HOME, or --replace to simulate over it"
            )
    elif held:
        raise PatronError(
            f"{home.path} holds another shop ({held['source']}); nothing was changed. Use another"
            " PATRON_HOME, or --replace to simulate over it"
        )
    done = _simulate(home, plan, now, progress)
    if replace:
        _forget_features(home)
    return done


def extend_simulation(home: Home, progress: Progress = silent) -> bool:
    """Let a simulated shop go on to today; False when it is there already or is not simulated."""
    held = lake.describe(home)
    if held["source"] != "simulate" or held["last_day"] >= home.shop().today() - 1:
        return False
    plan = simulate.Plan(**{**held["plan"], "start": date.fromisoformat(held["plan"]["start"])})
    _simulate(home, plan, Clock().now(), progress)
    return True


def _simulate(home: Home, plan: simulate.Plan, now: datetime, progress: Progress) -> dict[str, Any]:
    backend = lake.connect()
    simulate.simulate(backend.con, plan, now, progress)
    described = {"source": "simulate", "plan": {**asdict(plan), "start": plan.start.isoformat()}}
    described |= _days(backend.con, plan.time_zone)
    lake.write(home, backend.con, plan.time_zone, described, progress)
    home.write_shop(Shop("simulate", plan.time_zone, plan.currency, Clock()))
    return described | {"customers": plan.customers}


def _days(connection: duckdb.DuckDBPyConnection, zone: str) -> dict[str, Any]:
    """First and last day of the orders, and their number."""
    first, last, orders = connection.execute(
        "SELECT min(timestamp), max(timestamp), count(DISTINCT order_id) FROM order_lines"
    ).fetchone() or (None, None, 0)
    if first is None:
        raise PatronError("there is no order among the events; nothing was changed")
    days = [day_of(moment.replace(tzinfo=UTC), zone) for moment in (first, last)]
    return {
        "orders": orders,
        "first_day": days[0],
        "last_day": days[1],
        "from": (EPOCH + timedelta(days=days[0])).isoformat(),
        "to": (EPOCH + timedelta(days=days[1])).isoformat(),
    }


def set_aside(home: Home, most: int = REPORT_ROWS) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The first rows of each reason that the last import set aside, without their customers.

    Returns:
        The columns' names and the rows, by reason and place in the file.
    """
    path = home.events / "set_aside.parquet"
    if not path.exists():
        raise PatronError(f"no import into {home.path} set anything aside")
    found = lake.connect().con.execute(
        "SELECT * FROM read_parquet(?) QUALIFY row_number() OVER (PARTITION BY reason ORDER BY row_number)"
        " <= ? ORDER BY reason, row_number",
        [str(path), most],
    )
    return [column[0] for column in found.description], found.fetchall()


def _moment(text: str, zone: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise PatronError(f"{text!r} is not a date or time such as 2011-09-01; see --as-of") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return moment.astimezone(UTC).replace(microsecond=0)


def _file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _forget_features(home: Home) -> None:
    """Remove what was computed from the events of another shop."""
    for folder in (home.snapshots, home.feast):
        shutil.rmtree(folder, ignore_errors=True)
