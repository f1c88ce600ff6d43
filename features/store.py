"""The only door to Feast: the catalogue, point-in-time retrieval and the online store.

Entity, views and services are applied through the SDK from the groups in ``features.groups``,
one feature view per group. Each field carries its unit and the hash of its definition as tags,
so that whoever reads the online store can tell by which definitions it was filled.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from features.errors import NothingThere, PatronError
from features.home import Home

if TYPE_CHECKING:
    import feast

    from features.group import FeatureGroup

PROJECT = "patron"
ENTITY = "customer"
KEY = "customer_key"


@dataclass(frozen=True)
class OnlineRows:
    """Feature values of customers as the online store holds them.

    Attributes:
        values: one list per feature, in the order of the keys asked for; None where missing.
        as_of: per customer the oldest as_of of the groups read; None for one without a row.
    """

    values: dict[str, list[Any]]
    as_of: list[datetime | None]


class Store:
    """A home's Feast store. Feast takes seconds to import, so only creating one imports it."""

    def __init__(self, home: Home) -> None:
        # Before Feast, whose import makes every metric of the process a file that services share by name.
        import prometheus_client  # noqa: F401

        os.environ.setdefault("FEAST_USAGE", "False")
        with warnings.catch_warnings():
            # Feast's own imports use names that their libraries have deprecated.
            warnings.simplefilter("ignore")
            import feast
            from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
            from feast.infra.online_stores.sqlite import SqliteOnlineStoreConfig
            from feast.repo_config import RegistryConfig

        _keep_online_time_in_utc()
        logging.getLogger("feast").setLevel(logging.WARNING)
        self.home = home
        self.online_file = home.feast / "online.db"
        home.feast.mkdir(parents=True, exist_ok=True)
        self._feast: feast.FeatureStore = feast.FeatureStore(
            config=feast.RepoConfig(
                project=PROJECT,
                provider="local",
                registry=RegistryConfig(path=str(home.feast / "registry.db")),
                offline_store=DuckDBOfflineStoreConfig(),
                online_store=SqliteOnlineStoreConfig(path=str(self.online_file)),
                entity_key_serialization_version=3,
                repo_path=home.feast,
            )
        )

    def apply(self, groups: Sequence[FeatureGroup], folders: dict[str, Path]) -> None:
        """Register the customer entity and one feature view per group over its snapshots."""
        import feast

        customer = feast.Entity(
            name=ENTITY, join_keys=[KEY], value_type=feast.ValueType.INT64,
            description="A customer, by internal key",
        )  # fmt: skip
        views = [self._view(group, folders[group.name], customer) for group in groups]
        self._feast.apply([customer, *views])

    def _view(self, group: FeatureGroup, folder: Path, customer: feast.Entity) -> feast.FeatureView:
        import feast
        from feast import types

        dtypes = {
            "int64": types.Int64,
            "float64": types.Float64,
            "string": types.String,
            "boolean": types.Bool,
        }
        fields = [
            feast.Field(
                name=f.name,
                dtype=dtypes[f.dtype],
                description=f.description,
                tags={"unit": f.unit, "definition": f.definition()},
            )
            for f in group.features.values()
        ]
        source = feast.FileSource(
            name=group.name,
            path=str(folder / "*.parquet"),
            timestamp_field="as_of",
            created_timestamp_column="created_at",
        )
        return feast.FeatureView(
            name=group.name, entities=[customer], schema=fields, source=source,
            ttl=group.fresh_for, online=True,
        )  # fmt: skip

    def publish_service(self, name: str, features: Sequence[str]) -> None:
        """Register a FeatureService: exactly the features that one model version reads."""
        import feast

        where = self._views_of(features)
        views = self._views()
        chosen = [
            views[view][[f for f in features if where[f] == view]] for view in dict.fromkeys(where.values())
        ]
        self._feast.apply([feast.FeatureService(name=name, features=chosen)])

    def services(self) -> list[str]:
        """The names of all published services."""
        return sorted(service.name for service in self._feast.list_feature_services())

    def definitions(self) -> dict[str, str]:
        """The hash of each feature's definition by which the store was last filled."""
        return {
            field.name: field.tags["definition"] for view in self._views().values() for field in view.features
        }

    def historical(self, population: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
        """Point-in-time features from the stored snapshots.

        Args:
            population: ``customer_key`` and ``as_of`` (UTC).

        Returns:
            The population with one column per feature, in the population's order.
        """
        where = self._views_of(features)
        asked = population[[KEY, "as_of"]].rename(columns={"as_of": "event_timestamp"})
        found = self._feast.get_historical_features(
            entity_df=asked, features=[f"{where[name]}:{name}" for name in features]
        ).to_df()
        # The join keeps neither the rows' order nor the moment's resolution.
        found["event_timestamp"] = found["event_timestamp"].astype(asked["event_timestamp"].dtype)
        ordered = asked.merge(found, on=[KEY, "event_timestamp"], how="left", validate="1:1")
        return ordered.rename(columns={"event_timestamp": "as_of"})

    def write_online(self, group: str, snapshot: pd.DataFrame) -> None:
        """Put the rows of a snapshot into the online store; each row keeps its as_of."""
        with warnings.catch_warnings():
            # A shop may know none of a group's facts; Feast warns of columns that are all null.
            warnings.filterwarnings("ignore", message="Cannot write dataframe with empty feature")
            self._feast.write_to_online_store(group, snapshot)

    def reader(self, features: Sequence[str]) -> Callable[[Sequence[int]], OnlineRows]:
        """A function that reads these features for customers by key.

        Raises (the function):
            PatronError: the online store is missing or cannot be read.
        """
        where = self._views_of(features)
        references = [f"{where[name]}:{name}" for name in features]

        def read(keys: Sequence[int]) -> OnlineRows:
            # Feast would silently make an empty store where the file is gone.
            if not self.online_file.exists():
                raise NothingThere(f"the online store {self.online_file} is missing; run `patron build`")
            try:
                response = self._feast.get_online_features(
                    features=references, entity_rows=[{KEY: int(key)} for key in keys]
                )
            except Exception as error:  # Feast passes on whatever its store raises.
                raise PatronError(
                    f"the online store {self.online_file} cannot be read"
                    f" ({type(error).__name__}: {error}); run `patron build`"
                ) from error
            return _online_rows(response, features, len(keys))

        return read

    def _views(self) -> dict[str, Any]:
        views = {view.name: view for view in self._feast.list_feature_views()}
        if not views:
            raise NothingThere(f"no features were built in {self.home.path}; run `patron build`")
        return views

    def _views_of(self, features: Sequence[str]) -> dict[str, str]:
        known = {f.name: view.name for view in self._views().values() for f in view.features}
        if missing := [name for name in features if name not in known]:
            raise PatronError(f"the feature store does not hold {', '.join(missing)}; run `patron build`")
        return {name: known[name] for name in features}


def _keep_online_time_in_utc() -> None:
    """Let Feast's SQLite store mean UTC by its times, whatever the zone of the process.

    Feast hands SQLite naive times in UTC, and on import registers adapters with Python that take
    those for local ones: a row written in one zone and read in another would lose or gain hours.
    """
    sqlite3.register_adapter(datetime, lambda t: int((t if t.tzinfo else t.replace(tzinfo=UTC)).timestamp()))
    sqlite3.register_converter("timestamp", lambda seconds: datetime.fromtimestamp(int(seconds), UTC))


def _online_rows(response: Any, features: Sequence[str], count: int) -> OnlineRows:
    """Turn Feast's response into columns; a row never written has a timestamp of 0."""
    columns = response.to_dict()
    oldest: list[datetime | None] = [None] * count
    for result in response.proto.results[1:] if count else ():
        for i, stamp in enumerate(result.event_timestamps):
            if stamp.seconds:
                moment = datetime.fromtimestamp(0, UTC) + timedelta(
                    seconds=stamp.seconds, microseconds=stamp.nanos // 1000
                )
                if oldest[i] is None or moment < oldest[i]:  # type: ignore[operator]
                    oldest[i] = moment
    return OnlineRows({name: columns[name] for name in features}, oldest)
