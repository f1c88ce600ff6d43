"""Bringing a shop into a home: a file of orders, or a simulation."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from core.calendar import day_of, midnight
from core.errors import PatronError
from core.home import Clock, Home, Shop
from core.progress import Progress, silent
from core.storage.database import Database
from events import journal
from events.files import classify as canonical
from events.files import draft_mapping as inspect
from events.files import mapping
from events.files.reader import is_database
from events.lake import read_write as lake
from events.lake import staging as merge
from events.simulation import simulate

REPORT_ROWS = 20
SOURCES = tuple(mapping.BUILT_IN)
LIVE = "live"  # the source of a shop that began without history


def import_file(
    home: Home,
    place: str,
    mapping_name: str,
    as_of: str | None = None,
    replace: bool = False,
    progress: Progress = silent,
    table: str | None = None,
    live: bool = False,
) -> dict[str, Any]:
    """Import a file or database table; the clock then stands at the end of the last event's day.

    Where events go on arriving the clock is wall time, and stays so. Into a home that was filled by
    imports, or received its events, those of the file are added, and what is told again stays once.

    Args:
        place: a CSV or Parquet file, or an SQLAlchemy URL (with ``table``).
        mapping_name: a source that comes with Patron, or a mapping file.
        as_of: where the clock shall stand instead, a date or time in the shop's zone.
        replace: whether to forget the shop that is there.
        live: whether events go on arriving from now on.

    Returns:
        What was read, kept and set aside; ``changed`` is False for a file imported before.

    Raises:
        PatronError: it cannot be used, or belongs to another shop; nothing was changed.
    """
    how = mapping.load(mapping_name)
    shop = how.shop
    frozen = _moment(as_of, shop.time_zone) if as_of else None
    held = lake.describe(home) if lake.exists(home) and not replace else None
    if held:
        _refuse_another_shop(home, held, how)
        live = live or (home.shop().live and not as_of)
    digest = _digest(place, mapping_name)
    if held and digest in held.get("digests", []):
        described = held | {"changed": False}
    else:
        progress("reading", 0.1)
        made = not home.path.exists()
        backend = lake.connect(home.path)
        try:
            accounts = canonical.read(backend.con, place, how, table)
            if not held:
                merge.need_orders(backend.con)
        except PatronError:
            backend.disconnect()
            if made:
                shutil.rmtree(home.path)  # it holds nothing but room for spilling
            raise
        progress("reading", 0.6)
        described = {"source": mapping_name if mapping_name in mapping.BUILT_IN else "mapping"}
        described |= {
            "file": table or Path(place).name,
            "digests": [*(held or {}).get("digests", []), digest],
        }
        described |= {"imported_at": datetime.now(UTC).isoformat(timespec="seconds")} | accounts.as_dict()
        forgotten = _arrived(home) if replace else 0
        described = lake.write(
            home, backend.con, shop.time_zone, described, progress, add=held is not None, imported=True
        )
        if not held:
            _forget_features(home)
        described["messages_forgotten"] = forgotten
        described["changed"] = not held or described["generation"] != held["generation"]
    clock = Clock(None if live else frozen or midnight(described["last_day"] + 1, shop.time_zone))
    home.write_shop(Shop(described["source"], shop.time_zone, shop.currency, clock, home.tiers()))
    return described | {"clock": clock.now().isoformat(), "live": live}


def begin_live(home: Home, time_zone: str, currency: str) -> dict[str, Any]:
    """Make a shop without events, on wall time, that receives them as they happen.

    Raises:
        PatronError: there is a shop already, or there is no such time zone; nothing was changed.
    """
    shop = Shop(LIVE, time_zone, currency, Clock(), home.tiers())
    if lake.exists(home):
        held = lake.describe(home)
        raise PatronError(
            f"{home.path} holds a shop already ({held['source']}); nothing was changed."
            " Use another PATRON_HOME"
        )
    described = lake.write(home, lake.connect().con, time_zone, {"source": LIVE})
    home.write_shop(shop)
    return described | {"time_zone": time_zone, "currency": currency}


def inspect_file(path: Path) -> str:
    """A draft of the mapping of a file, as TOML."""
    return inspect.draft(lake.connect().con, path)


def _refuse_another_shop(home: Home, held: dict[str, Any], how: mapping.Mapping) -> None:
    shop = home.shop()
    if held["source"] == "simulate":
        raise PatronError(
            f"{home.path} holds another shop (simulate); nothing was changed. Use another PATRON_HOME,"
            f" or --replace to import over it{_lost(home)}"
        )
    if (shop.time_zone, shop.currency) != (how.shop.time_zone, how.shop.currency):
        raise PatronError(
            f"{home.path} holds a shop in {shop.currency} and {shop.time_zone}, and this mapping says"
            f" {how.shop.currency} and {how.shop.time_zone}; nothing was changed. Use another PATRON_HOME,"
            f" or --replace to import over it{_lost(home)}"
        )


def _arrived(home: Home) -> int:
    """How many messages the shop received that is there."""
    if not home.has_database:
        return 0
    database = Database(home)
    found = journal.arrived(database)
    database.close()
    return found


def _lost(home: Home) -> str:
    """What replacing a shop forgets for good, where it is more than can be had again."""
    arrived = _arrived(home)
    return f" and forget the {arrived:,} messages that arrived" if arrived else ""


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
                f" {plan.seed}; use another PATRON_HOME, or --replace to simulate over it{_lost(home)}"
            )
    elif held:
        raise PatronError(
            f"{home.path} holds another shop ({held['source']}); nothing was changed. Use another"
            f" PATRON_HOME, or --replace to simulate over it{_lost(home)}"
        )
    forgotten = _arrived(home) if replace else 0
    done = _simulate(home, plan, now, progress, add=held is not None)
    if replace:
        _forget_features(home)
    return done | {"messages_forgotten": forgotten}


def extend_simulation(home: Home, progress: Progress = silent) -> bool:
    """Let a simulated shop go on to today; False when it is there already or is not simulated."""
    held = lake.describe(home)
    if held["source"] != "simulate" or held["simulated_day"] >= home.shop().today() - 1:
        return False
    plan = simulate.Plan(**{**held["plan"], "start": date.fromisoformat(held["plan"]["start"])})
    _simulate(home, plan, Clock().now(), progress, add=True)
    return True


def _simulate(
    home: Home, plan: simulate.Plan, now: datetime, progress: Progress, *, add: bool = False
) -> dict[str, Any]:
    """Write a simulation; one that goes on repeats what it told before, and keeps what arrived."""
    backend = lake.connect()
    simulate.simulate(backend.con, plan, now, progress)
    described = {
        "source": "simulate",
        "plan": {**asdict(plan), "start": plan.start.isoformat()},
        "simulated_day": day_of(now, plan.time_zone),
    }
    described = lake.write(home, backend.con, plan.time_zone, described, progress, add=add)
    home.write_shop(Shop("simulate", plan.time_zone, plan.currency, Clock(), home.tiers()))
    return described | {"customers": plan.customers}


def set_aside(home: Home, most: int = REPORT_ROWS) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The first rows of each reason that the last import set aside, without their customers.

    Returns:
        The columns' names and the rows, by reason and place in the file.
    """
    path = set_aside_file(home)
    found = lake.connect().con.execute(
        "SELECT * FROM read_parquet(?) QUALIFY row_number() OVER (PARTITION BY reason ORDER BY row_number)"
        " <= ? ORDER BY reason, row_number",
        [str(path), most],
    )
    return [column[0] for column in found.description], found.fetchall()


def set_aside_file(home: Home) -> Path:
    """Where the rows lie that the last import set aside.

    Raises:
        PatronError: there are none.
    """
    path = lake.current(home).folder / "set_aside.parquet"
    if not path.exists():
        raise PatronError(f"no import into {home.path} set anything aside")
    return path


def _moment(text: str, zone: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise PatronError(f"{text!r} is not a date or time such as 2011-09-01; see --as-of") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return moment.astimezone(UTC).replace(microsecond=0)


def _digest(place: str, mapping_name: str) -> str:
    """Of a file and how it is read, so that it is read once; anew each time for a database."""
    total = hashlib.sha256(mapping.text(mapping_name).encode())
    if is_database(place):
        return f"database {datetime.now(UTC).isoformat()}"
    path = Path(place)
    if not path.is_file():
        raise PatronError(f"{place}: there is no such file")
    with open(path, "rb") as file:
        total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _forget_features(home: Home) -> None:
    """Remove what was computed from the events of another shop."""
    for folder in (home.snapshots, home.feast):
        shutil.rmtree(folder, ignore_errors=True)
