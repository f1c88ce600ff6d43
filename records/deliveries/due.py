"""When deliveries are due, and what came of the last ones: ``deliveries.json`` of a home.

A delivery is due once a day of the shop, from its time on. One that failed is tried again after 5 minutes,
then after 10, 20 and so on up to an hour, until the day is over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from core import files, locks
from core.calendar import date_of
from core.errors import PatronError
from core.home import Home
from core.shop import Shop
from records.deliveries.settings import Delivery, load, settings_file

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=1)


@dataclass(frozen=True)
class DeliveryState:
    """What came of a delivery on its last day.

    Attributes:
        day: the shop's day, as a date. run_id: the run whose rows are delivered, once it is decided.
        sent: how many of its files have arrived. done: whether all have.
        failures: how often it failed that day. error: the last failure. at: the moment of the last attempt.
    """

    day: str
    at: str
    run_id: str | None = None
    sent: int = 0
    done: bool = False
    failures: int = 0
    error: str | None = None

    def wait_until(self) -> datetime:
        """When a failed delivery may be tried again."""
        if not self.failures:
            return datetime.fromisoformat(self.at)
        pause = min(FIRST_PAUSE * int(2 ** min(self.failures - 1, 10)), LONGEST_PAUSE)
        return datetime.fromisoformat(self.at) + pause


def state_file(home: Home) -> Path:
    """JSON: the state of each delivery."""
    return home.path / "deliveries.json"


def states(home: Home) -> dict[str, DeliveryState]:
    """The state of each delivery that was ever begun, by name.

    Raises:
        PatronError: the file is damaged.
    """
    path = state_file(home)
    try:
        content: Mapping[str, Any] = json.loads(path.read_text())
        return {name: DeliveryState(**fields) for name, fields in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise PatronError(f"{path} is damaged; remove it, and today's deliveries are made again") from error


def today_of(home: Home, name: str, shop: Shop) -> DeliveryState:
    """The state of a delivery on the shop's present day; a new one if it was not begun."""
    day = date_of(shop.today()).isoformat()
    last = states(home).get(name)
    if last is not None and last.day == day:
        return last
    return DeliveryState(day, shop.now().isoformat())


def write(home: Home, name: str, state: DeliveryState) -> None:
    """Store the state of a delivery."""
    content = {n: asdict(s) for n, s in (states(home) | {name: state}).items()}
    files.replace(state_file(home), json.dumps(content, indent=1), durable=True)


def failed(state: DeliveryState, at: datetime, error: str) -> DeliveryState:
    """The state after a failure."""
    return replace(state, at=at.isoformat(), failures=state.failures + 1, error=error)


def due(home: Home) -> list[Delivery]:
    """The deliveries that are due now, in the order of the file.

    Raises:
        PatronError: the settings, the shop's or those of deliveries, cannot be understood.
    """
    if not settings_file(home).exists():
        return []
    shop = home.shop()
    now = shop.now()
    local = now.astimezone(ZoneInfo(shop.time_zone)).time()

    def is_due(delivery: Delivery) -> bool:
        state = today_of(home, delivery.name, shop)
        return local >= delivery.at and not state.done and now >= state.wait_until()

    return [delivery for delivery in load(home).values() if is_due(delivery)]


@contextmanager
def exclusively(home: Home) -> Iterator[None]:
    """A context for making deliveries: one process of a home at a time.

    Raises:
        PatronError: another process makes deliveries now.
    """
    with open(home.path / "deliveries.lock", "ab") as file:
        if not locks.acquire(file):
            raise PatronError("another process makes deliveries of this home now; try again when it is done")
        yield
