"""A home: the folder that contains one shop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from core import files
from core.declarations.traits import TraitDeclaration
from core.errors import NothingThere, PatronError
from core.shop import Shop, Tiers, parse, render, wall_time
from core.storage.sql import with_driver


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
            shop = parse(written)
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
        text = render(replace(shop, traits=shop.traits or self.traits()))
        self.path.mkdir(0o700, parents=True, exist_ok=True)
        files.replace(self.settings_file, text)
