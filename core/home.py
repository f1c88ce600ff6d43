"""A home: the folder that contains one shop, with its settings and its clock."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from core import files, traits
from core.calendar import day_of
from core.errors import NothingThere, PatronError
from core.storage.sql import with_driver
from core.traits import TraitDeclaration


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


@dataclass(frozen=True)
class Home:
    """The paths below ``PATRON_HOME``. Files and connections are opened lazily.

    Attributes:
        database: the URL of a PostgreSQL database used by this home alone; None for an SQLite file in the
            home.
        wall: the wall clock, which :class:`Clock` uses unless it is frozen.
        warehouse: the URL of the warehouse that has the events, if the shop's are in one.
    """

    path: Path
    database: str | None = None
    wall: Callable[[], datetime] = field(default=wall_time, compare=False, repr=False)
    warehouse: str | None = field(default=None, repr=False)

    @property
    def settings_file(self) -> Path:
        """TOML: the shop's source, time zone, currency and clock."""
        return self.path / "home.toml"

    @property
    def id_file(self) -> Path:
        """JSON: the id of the home, see :mod:`core.home_id`."""
        return self.path / "home.id"

    @property
    def database_file(self) -> Path:
        """SQLite: customers' ids, the journal, predictions, decisions and keys; unused if a server is
        configured.
        """
        return self.path / "patron.db"

    @property
    def database_address(self) -> str:
        """The URL of the database, for SQLAlchemy."""
        if self.database is None:
            return f"sqlite:///{self.database_file}"
        return with_driver(self.database)

    @property
    def has_database(self) -> bool:
        """Whether the database exists; a configured server counts as existing."""
        return self.database is not None or self.database_file.exists()

    @property
    def events(self) -> Path:
        """The lake: see :mod:`events.lake.versions`."""
        return self.path / "events"

    @property
    def warehouse_queries(self) -> Path:
        """SQL: a query per event table of a warehouse, see :mod:`events.warehouse.mapping`."""
        return self.path / "warehouse"

    @property
    def snapshots(self) -> Path:
        """The feature snapshots: Parquet files that Feast reads."""
        return self.path / "snapshots"

    @property
    def feast(self) -> Path:
        """Feast's registry and online store."""
        return self.path / "feast"

    @property
    def online_file(self) -> Path:
        """SQLite: the online rows, if no Redis is configured."""
        return self.feast / "online.db"

    @property
    def mlflow(self) -> Path:
        """MLflow's tables and artifacts, if no server is configured."""
        return self.path / "mlflow"

    @property
    def logs(self) -> Path:
        """Counters and locks of the processes that write the score log."""
        return self.path / "logs"

    @property
    def score_jobs(self) -> Path:
        """Scores computed in bulk: a folder per job, see :mod:`records.score_jobs`."""
        return self.path / "score-jobs"

    @property
    def recommendation_runs(self) -> Path:
        """Decisions made in bulk: a folder per run, see :mod:`records.runs`."""
        return self.path / "recommendation-runs"

    @property
    def plans(self) -> Path:
        """Plans of everybody's action: a folder per plan, see :mod:`records.plans.store`."""
        return self.path / "plans"

    @property
    def plan_previews(self) -> Path:
        """Plans that pages of the console show once: a folder per preview, as of plans."""
        return self.path / "plan-previews"

    @property
    def limits(self) -> Path:
        """The recent use of the keys' limits, a few bytes per key, if no Redis is configured."""
        return self.path / "limits"

    @property
    def actions(self) -> Path:
        """TOML: the available actions, with costs, effects and rules."""
        return self.path / "actions.toml"

    @property
    def audiences(self) -> Path:
        """TOML: the audiences that requests saved."""
        return self.path / "audiences.toml"

    @property
    def text_classifier(self) -> Path:
        """ZIP of a table and JSON: the classifier that derives features from customers' texts, see
        :mod:`features.text.opinions`.
        """
        return self.path / "text-classifier.zip"

    @property
    def refreshed(self) -> Path:
        """JSON: the progress of the refresher."""
        return self.path / "refreshed.json"

    @property
    def refreshers(self) -> Path:
        """What the refreshers of several shards store, see :mod:`features.live.shards`."""
        return self.path / "refreshers"

    @property
    def reports(self) -> Path:
        """The reports of the drift monitor."""
        return self.path / "reports"

    def shop(self) -> Shop:
        """The shop's settings.

        Raises:
            NothingThere: no shop was imported or simulated in this home yet.
            PatronError: the settings file is invalid.
        """
        try:
            written = self.settings_file.read_bytes()
        except FileNotFoundError as error:
            raise NothingThere(
                f"there is no shop in {self.path}; run `patron simulate` or `patron import FILE`, or"
                " `patron init` (or set PATRON_HOME to the folder that holds one)"
            ) from error
        try:
            shop = _parse(written)
            return replace(shop, clock=replace(shop.clock, wall=self.wall))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise PatronError(f"{self.settings_file} cannot be understood: {error}") from error

    def tiers(self) -> Tiers:
        """The configured rule for tier A; it outlives the replacement of a shop."""
        return self.shop().tiers if self.settings_file.exists() else Tiers()

    def traits(self) -> tuple[TraitDeclaration, ...]:
        """The traits that are declared as features; the declarations outlive the replacement of a shop."""
        return self.shop().traits if self.settings_file.exists() else ()

    def write_shop(self, shop: Shop) -> None:
        """Write the shop's settings in one step; readers see the old or the new ones.

        Declarations of traits are preserved.
        """
        frozen = shop.clock.frozen_at
        clock = f"frozen_at = {frozen.isoformat()}" if frozen else "# wall time"
        text = (
            "# The shop of this home. Days and windows follow its time zone.\n[shop]\n"
            f"source = {json.dumps(shop.source)}\ntime_zone = {json.dumps(shop.time_zone)}\n"
            f"currency = {json.dumps(shop.currency)}\n\n"
            f"# Everything that asks for the present reads this clock.\n[clock]\n{clock}\n\n"
            "# Value tier A: who bring this share of a year's net revenue, or this share of the customers.\n"
            f"[tier_a]\nof = {json.dumps(shop.tiers.of)}\nshare = {shop.tiers.share}\n"
            + ("\n[warehouse]\napproximate = true\n" if shop.approximate else "")
            + traits.render(shop.traits or self.traits())
        )
        self.path.mkdir(0o700, parents=True, exist_ok=True)
        files.replace(self.settings_file, text)


@lru_cache(maxsize=8)
def _parse(text: bytes) -> Shop:
    """The settings in the text of ``home.toml``; a process parses each text once."""
    settings = tomllib.loads(text.decode())
    frozen = settings["clock"].get("frozen_at")
    clock = Clock(None if frozen is None else frozen.astimezone(UTC))
    shop = settings["shop"]
    tiers = Tiers(**settings.get("tier_a", {}))
    declared = traits.parse(settings.get("traits", {}))
    approximate = bool(settings.get("warehouse", {}).get("approximate", False))
    return Shop(shop["source"], shop["time_zone"], shop["currency"], clock, tiers, declared, approximate)
