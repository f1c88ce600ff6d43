"""Feast with an online store of its own, over the views and snapshots of a home."""

from __future__ import annotations

import shutil
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import feast
from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
from feast.repo_config import RegistryConfig

from core.home import Home


def open_store(home: Home, folder: Path, online_store: Any) -> feast.FeatureStore:
    """A feature store with the home's views, whose registry and online rows are the peer's own.

    Args:
        folder: where the peer keeps its registry.
        online_store: Feast's configuration of an online store.
    """
    registry = Path(shutil.copy(home.feast / "registry.db", folder))
    store = feast.FeatureStore(
        config=feast.RepoConfig(
            project="patron",
            provider="local",
            registry=RegistryConfig(path=str(registry)),
            offline_store=DuckDBOfflineStoreConfig(),
            online_store=online_store,
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    store.apply([*store.list_entities(), *store.list_feature_views()])
    return store


def materialize(store: feast.FeatureStore, as_of: datetime) -> None:
    """Fill the online store from the snapshots of a moment."""
    with warnings.catch_warnings():
        # Feast warns of columns that are all null.
        warnings.simplefilter("ignore")
        store.materialize(as_of - timedelta(hours=1), as_of + timedelta(hours=1))
