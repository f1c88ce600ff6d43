"""A shop: its settings and its clock, and their text in ``home.toml``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from core.calendar import day_of
from core.declarations import traits
from core.declarations.traits import TraitDeclaration
from core.errors import PatronError


def wall_time() -> datetime:
    """This machine's time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clock:
    """The shop's clock: wall time, or the fixed moment at which an imported history ends."""

    frozen_at: datetime | None = None
    wall: Callable[[], datetime] = field(default=wall_time, compare=False, repr=False)

    def now(self) -> datetime:
        """The present moment of the shop, in UTC, to the second."""
        return self.frozen_at or self.wall().replace(microsecond=0)


@dataclass(frozen=True)
class Tiers:
    """The rule for value tier A: customers who bring ``share`` of the ``revenue``, or that share of
    ``customers``.
    """

    of: str = "revenue"
    share: float = 0.8

    def __post_init__(self) -> None:
        if self.of not in ("revenue", "customers"):
            raise PatronError(f"tier A is a share of revenue or of customers, not of {self.of!r}")
        if not 0 < self.share <= 1:
            raise PatronError(f"tier A cannot be a share of {self.share}; use one above 0, up to 1")


@dataclass(frozen=True)
class Shop:
    """The settings of a home: source of the events, time zone, currency, clock and rule for tier A.

    Attributes:
        approximate: whether medians may be approximate, where a warehouse has no exact one.
    """

    source: str
    time_zone: str
    currency: str
    clock: Clock
    tiers: Tiers = Tiers()
    traits: tuple[TraitDeclaration, ...] = ()
    approximate: bool = False

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone)
        except (KeyError, ValueError, OSError) as error:
            raise PatronError(
                f"unknown time zone {self.time_zone!r}; use a name such as Europe/London"
            ) from error

    @property
    def live(self) -> bool:
        """Whether new events are expected: the clock is wall time."""
        return self.clock.frozen_at is None

    def now(self) -> datetime:
        """The shop's present moment, in UTC."""
        return self.clock.now()

    def today(self) -> int:
        """The shop's present day (days since 1970-01-01)."""
        return day_of(self.now(), self.time_zone)


def render(shop: Shop) -> str:
    """The text of ``home.toml``, which :func:`parse` reads."""
    frozen = shop.clock.frozen_at
    clock = f"frozen_at = {frozen.isoformat()}" if frozen else "# wall time"
    return (
        "# The shop of this home. Days and windows follow its time zone.\n[shop]\n"
        f"source = {json.dumps(shop.source)}\ntime_zone = {json.dumps(shop.time_zone)}\n"
        f"currency = {json.dumps(shop.currency)}\n\n"
        f"# Everything that asks for the present reads this clock.\n[clock]\n{clock}\n\n"
        "# Value tier A: who bring this share of a year's net revenue, or this share of the customers.\n"
        f"[tier_a]\nof = {json.dumps(shop.tiers.of)}\nshare = {shop.tiers.share}\n"
        + ("\n[warehouse]\napproximate = true\n" if shop.approximate else "")
        + traits.render(shop.traits)
    )


@lru_cache(maxsize=8)
def parse(text: bytes) -> Shop:
    """The settings in the text of ``home.toml``; a process parses each text once."""
    settings = tomllib.loads(text.decode())
    frozen = settings["clock"].get("frozen_at")
    clock = Clock(None if frozen is None else frozen.astimezone(UTC))
    shop = settings["shop"]
    tiers = Tiers(**settings.get("tier_a", {}))
    declared = traits.parse(settings.get("traits", {}))
    approximate = bool(settings.get("warehouse", {}).get("approximate", False))
    return Shop(shop["source"], shop["time_zone"], shop["currency"], clock, tiers, declared, approximate)
