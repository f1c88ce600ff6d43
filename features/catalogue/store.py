"""A home's feature store: the catalogue, point-in-time retrieval and the online store, by Feast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from core import files, home_id
from core.errors import NothingThere, PatronError
from core.home import Home
from core.settings import FeatureSettings
from core.storage.database import Database
from features.catalogue import registry, repository, views
from features.catalogue.definitions import definitions
from features.catalogue.views import View
from features.online import rows
from features.online.cells import CellStore
from features.online.open import open_cells
from features.online.packed import CellLayout
from features.online.rows import KEY, OnlineReader, OnlineRows, Snapshot

if TYPE_CHECKING:
    import feast

    from features.group import FeatureGroup

__all__ = ["OnlineReader", "OnlineRows", "Store"]


def online_address(home: Home, settings: FeatureSettings | None = None) -> str:
    """The location of a home's online rows: a file of the home, or the Redis in ``PATRON_ONLINE_STORE``."""
    return (settings or FeatureSettings()).online_store or str(home.online_file)


def open_online(home: Home) -> CellStore:
    """A home's online rows, without Feast."""
    return open_cells(online_address(home), owner=partial(home_id.read, home))


class Store:
    """A home's Feast store.

    Importing Feast takes seconds, so it is imported only to read or write its registry; readers use a copy of
    the views in a separate file (:mod:`features.catalogue.views`).

    The online rows are in a file of the home, or in Redis if ``PATRON_ONLINE_STORE`` is set.
    Reading them is thread-safe.

    Args:
        patience_s: the maximum seconds to wait for the online rows; the default is longer than a reader in a
            request path should wait.
    """

    def __init__(
        self, home: Home, settings: FeatureSettings | None = None, patience_s: float | None = None
    ) -> None:
        self.home = home
        self.online_file = home.online_file
        self.address = online_address(home, settings)
        self.online = self._open(patience_s)
        self._registry = home.feast / "registry.db"
        self._cached_views: tuple[files.Stamp | None, dict[str, View]] | None = None

    @cached_property
    def _feast(self) -> feast.FeatureStore:
        return registry.open_feast(self.home, self.address, self._registry)

    def apply(self, groups: Sequence[FeatureGroup], folders: Mapping[str, Path]) -> None:
        """Register the customer entity and one feature view per group over its snapshots.

        Views of other groups, such as that of traits that are no longer declared, are removed.
        """
        Database(self.home).prepare()  # a home of an earlier release gets its id
        store = self._feast
        repository.write(self.home, registry.PROJECT, self.address)
        hashes, customer = definitions(self.home), registry.customer_entity()
        made = [registry.feature_view(group, folders[group.name], customer, hashes) for group in groups]
        store.apply([customer, *made])
        for view in store.list_feature_views():
            if view.name not in folders:
                store.delete_feature_view(view.name)

    def publish_service(self, name: str, features: Sequence[str]) -> None:
        """Register a FeatureService with the features of one model version."""
        store, where = self._feast, self._views_of(features)
        import feast

        chosen = [
            store.get_feature_view(view)[[f for f in features if where[f] == view]]
            for view in dict.fromkeys(where.values())
        ]
        store.apply([feast.FeatureService(name=name, features=chosen)])
        self._views()  # updates the copy, since the registry has changed

    def services(self) -> list[str]:
        """The names of all published services."""
        return sorted(service.name for service in self._feast.list_feature_services())

    def definitions(self) -> dict[str, str]:
        """The hash of each feature's definition at the time of the last build."""
        return {field.name: field.definition for view in self._views().values() for field in view.fields}

    def fresh_for(self) -> dict[str, timedelta]:
        """Per group the age above which its features are stale."""
        return {name: view.fresh_for for name, view in self._views().items()}

    def historical(self, population: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
        """Point-in-time features from the stored snapshots.

        Args:
            population: ``customer_key`` and ``as_of`` (UTC).

        Returns:
            The population with one column per feature, in the population's order.
        """
        where = self._views_of(features)
        entities = population[[KEY, "as_of"]].rename(columns={"as_of": "event_timestamp"})
        values = self._feast.get_historical_features(
            entity_df=entities, features=[f"{where[name]}:{name}" for name in features]
        ).to_df()
        # The join preserves neither the order of rows nor the resolution of the moment.
        values["event_timestamp"] = values["event_timestamp"].astype(entities["event_timestamp"].dtype)
        ordered = entities.merge(values, on=[KEY, "event_timestamp"], how="left", validate="1:1")
        return ordered.rename(columns={"event_timestamp": "as_of"})

    def fill_online(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Write the features of all customers into the online store, by group.

        Customers in none of the snapshots are deleted, unless they have newer events.
        """
        written = rows.write(self.online, self.layouts(), snapshots, self.home.shop())
        until = max(int(rows.moments(snapshot).max(initial=0)) for snapshot in snapshots.values())
        self.erase_others(written, until)

    def erase_others(self, retained: set[int], until_us: int) -> None:
        """Delete other customers than these from the online store, unless they have newer events.

        Args:
            until_us: newer are the rows after this moment, in microseconds since 1970.
        """
        rows.erase_others(self.online, list(self.layouts()), retained, until_us, self.home.shop())

    def write_online(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Write the rows of snapshots, by group, into the online store; each row keeps its as_of.

        An older row never replaces a newer one.
        """
        rows.write(self.online, self.layouts(), snapshots, self.home.shop())

    def forget(self, keys: Sequence[int]) -> None:
        """Delete customers from the online store."""
        self.online.delete([int(key) for key in keys])

    def reader(self, features: Sequence[str]) -> OnlineReader:
        """A reader of these features by customer key; threads may share it."""
        return rows.reader(self.online, self.layouts(), self._views_of(features))

    def patient_reader(self, features: Sequence[str]) -> OnlineReader:
        """The same for tens of thousands of customers at a time, with a longer timeout."""
        return rows.reader(self._open(), self.layouts(), self._views_of(features))

    def _open(self, patience_s: float | None = None) -> CellStore:
        return open_cells(self.address, patience_s, partial(home_id.read, self.home))

    @property
    def is_server(self) -> bool:
        """Whether other machines can write the online rows: they are in Redis."""
        return "://" in self.address

    def layouts(self) -> dict[str, CellLayout]:
        """The contents of each view's cells."""
        return {name: view.layout for name, view in self._views().items()}

    def _views(self) -> dict[str, View]:
        """The views by name, read again if the registry has changed: from Feast, or from the copy."""
        stamp = files.stamp(self._registry)
        if self._cached_views is None or self._cached_views[0] != stamp:
            by_name = views.read(self._registry) if stamp else {}
            if by_name is None:
                from_which = views.digest(self._registry)
                feast_store = self._feast  # before the plugin: it imports Feast without typeguard
                from features.catalogue.plugin import view_of

                by_name = {view.name: view_of(view) for view in feast_store.list_feature_views()}
                views.keep(self._registry, from_which, by_name)
            self._cached_views = stamp, by_name
        if not self._cached_views[1]:
            raise NothingThere(f"no features were built in {self.home.path}; run `patron build`")
        return self._cached_views[1]

    def _views_of(self, features: Sequence[str]) -> dict[str, str]:
        known = {f.name: view.name for view in self._views().values() for f in view.fields}
        if missing := [name for name in features if name not in known]:
            raise PatronError(f"the feature store does not hold {', '.join(missing)}; run `patron build`")
        return {name: known[name] for name in features}
