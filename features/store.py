"""The only door to Feast: the catalogue, point-in-time retrieval and the online store.

Entity, views and services are applied through the SDK from the groups in ``features.groups``,
one feature view per group. Each field carries its unit and the hash of its definition as tags,
so that whoever reads the online store can tell by which definitions it was filled.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.calendar import day_of, micros, midnight, moment
from features.errors import NothingThere, PatronError
from features.home import Home
from features.online.cells import open_cells
from features.online.packed import Columns, Layout, Micros, OtherLayout, Selection, decode, encode, moment_of
from features.settings import FeatureSettings

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
    """A home's Feast store. Feast takes seconds to import, so only creating one imports it.

    The online rows are in a file of the home, or in Redis where ``PATRON_ONLINE_STORE`` names one.
    Reading them is safe from many threads at a time.
    """

    def __init__(self, home: Home, settings: FeatureSettings | None = None) -> None:
        os.environ.setdefault("FEAST_USAGE", "False")
        with warnings.catch_warnings():
            # Feast's own imports use names that their libraries have deprecated.
            warnings.simplefilter("ignore")
            import feast
            from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
            from feast.repo_config import RegistryConfig

            from features.online.plugin import PackedOnlineStoreConfig

        logging.getLogger("feast").setLevel(logging.WARNING)
        self.home = home
        self.online_file = home.feast / "online.db"
        address = (settings or FeatureSettings()).online_store or str(self.online_file)
        self.online = open_cells(address)
        home.feast.mkdir(parents=True, exist_ok=True)
        self._feast: feast.FeatureStore = feast.FeatureStore(
            config=feast.RepoConfig(
                project=PROJECT,
                provider="local",
                registry=RegistryConfig(path=str(home.feast / "registry.db")),
                offline_store=DuckDBOfflineStoreConfig(),
                online_store=PackedOnlineStoreConfig(address=address),
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

    def fill_online(self, snapshots: Mapping[str, pd.DataFrame | pa.Table]) -> None:
        """Put everyone's features into the online store.

        Whoever is in none of the snapshots is erased, unless news of them came after these.

        Args:
            snapshots: per group ``customer_key``, ``as_of`` and the features.
        """
        written, latest = self._write(snapshots), max(_moments(s).max(initial=0) for s in snapshots.values())
        others = list(set(self.online.keys()) - written)
        now, views = micros(self.home.shop().now()), list(self._views())
        rows = zip(*self.online.read(others, views), strict=True)
        newest = [max((moment_of(cell) for cell in row if cell), default=0) for row in rows]
        self.online.delete([key for key, at in zip(others, newest, strict=True) if at <= latest or at > now])

    def write_online(self, group: str, snapshot: pd.DataFrame | pa.Table) -> None:
        """Put the rows of a snapshot into the online store; each row keeps its as_of.

        An older row never takes the place of a newer one.
        """
        self._write({group: snapshot})

    def forget(self, keys: Sequence[int]) -> None:
        """Erase customers from the online store."""
        self.online.delete([int(key) for key in keys])

    def _write(self, snapshots: Mapping[str, pd.DataFrame | pa.Table]) -> set[int]:
        """Write snapshots, those of the same customers together; return whose they are."""
        shop, layouts = self.home.shop(), self._layouts()
        together: dict[tuple[int, ...], dict[str, list[bytes]]] = {}
        for group, snapshot in snapshots.items():
            rows = _table(snapshot)
            as_of = _moments(rows)
            # Windows count days, so without an event a row changes at the shop's next midnight.
            ends = {at: _next_midnight(at, shop.time_zone) for at in set(as_of.tolist())}
            changes = np.array([ends[at] for at in as_of.tolist()], np.int64)
            keys = tuple(rows[KEY].to_pylist())
            together.setdefault(keys, {})[group] = encode(layouts[group], rows, as_of, changes)
        for keys, cells in together.items():
            self.online.write(keys, cells, micros(shop.now()))
        return {key for keys in together for key in keys}

    def reader(self, features: Sequence[str]) -> Callable[[Sequence[int]], OnlineRows]:
        """A function that reads these features for customers by key; threads may share it.

        Raises (the function):
            PatronError: the online store is missing, cannot be read, or was filled by other definitions.
        """
        from features.online.plugin import other_definitions

        where, layouts = self._views_of(features), self._layouts()
        views = list(dict.fromkeys(where.values()))
        parts = [Selection(layouts[view], [n for n in where if where[n] == view]) for view in views]

        def read(keys: Sequence[int]) -> OnlineRows:
            cells = self.online.read([int(key) for key in keys], views)
            try:
                found = [decode(part, column) for part, column in zip(parts, cells, strict=True)]
            except OtherLayout as error:
                raise other_definitions(self.online, error) from error
            values = {name: column for part in found for name, column in part.values.items()}
            return OnlineRows({name: values[name] for name in features}, _oldest(found))

        return read

    def _layouts(self) -> dict[str, Layout]:
        from features.online.plugin import layout_of

        return {name: layout_of(view) for name, view in self._views().items()}

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


def _table(snapshot: pd.DataFrame | pa.Table) -> pa.Table:
    if isinstance(snapshot, pd.DataFrame):
        return pa.Table.from_pandas(snapshot, preserve_index=False)
    return snapshot


def _moments(snapshot: pd.DataFrame | pa.Table) -> Micros:
    """Each row's as_of."""
    column = _table(snapshot)["as_of"].cast(pa.timestamp("us", "UTC"), safe=False)
    moments: Micros = column.cast(pa.int64()).to_numpy()
    return moments


def _next_midnight(at_us: int, zone: str) -> int:
    return micros(midnight(day_of(moment(at_us), zone) + 1, zone))


def _oldest(groups: Sequence[Columns]) -> list[datetime | None]:
    """Per customer the oldest moment of the groups; None for one without any."""
    rows = list(zip(*(group.as_of for group in groups), strict=True))
    # Most rows are alike.
    found = {row: min((at for at in row if at is not None), default=None) for row in set(rows)}
    moments = {row: None if at is None else moment(at) for row, at in found.items()}
    return [moments[row] for row in rows]
