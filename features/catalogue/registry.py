"""Feast's registry of a home: its customer entity, and a feature view per group.

Each field carries its unit and the hash of its definition as tags, so that readers of the online store can
check by which definitions it was filled.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.home import Home
from features.online.rows import KEY

if TYPE_CHECKING:
    import feast

    from features.group import FeatureGroup

PROJECT = "patron"
ENTITY = "customer"
_METRICS = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")


def import_feast() -> None:
    """Import Feast without typeguard, whose generated type checks take two thirds of the import time."""
    # Before Feast: its import makes every metric of this process and its children a file in a shared folder.
    import prometheus_client  # noqa: F401
    import typeguard

    os.environ.setdefault("FEAST_USAGE", "False")
    before = {name: os.environ.get(name) for name in _METRICS}
    checked = typeguard.typechecked
    typeguard.typechecked = lambda target: target  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            # Feast's own imports use deprecated names of their libraries.
            warnings.simplefilter("ignore")
            import feast
            import feast.infra.offline_stores.duckdb  # noqa: F401
    finally:
        typeguard.typechecked = checked
    for name, value in before.items():
        if value is None and (folder := os.environ.pop(name, None)):
            shutil.rmtree(folder, ignore_errors=True)
    logging.getLogger("feast").setLevel(logging.WARNING)


def open_feast(home: Home, address: str, registry: Path) -> feast.FeatureStore:
    """Feast's store of a home, with Patron's online store.

    Args:
        address: the location of the online rows.
        registry: the file of the registry.
    """
    import_feast()
    import feast
    from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
    from feast.repo_config import RegistryConfig

    from features.catalogue.plugin import PackedOnlineStoreConfig

    home.feast.mkdir(parents=True, exist_ok=True)
    return feast.FeatureStore(
        config=feast.RepoConfig(
            project=PROJECT,
            provider="local",
            registry=RegistryConfig(path=str(registry)),
            offline_store=DuckDBOfflineStoreConfig(),
            online_store=PackedOnlineStoreConfig(address=address, home=str(home.path)),
            entity_key_serialization_version=3,
            repo_path=home.feast,
        )
    )


def customer_entity() -> feast.Entity:
    """The entity of all views."""
    import feast

    return feast.Entity(
        name=ENTITY, join_keys=[KEY], value_type=feast.ValueType.INT64,
        description="A customer, by internal key; features.customer_keys returns the keys of ids",
    )  # fmt: skip


def feature_view(
    group: FeatureGroup, folder: Path, customer: feast.Entity, hashes: Mapping[str, str]
) -> feast.FeatureView:
    """The view of a group over its snapshots.

    Args:
        hashes: the hash of each feature's definition.
    """
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
            tags={"unit": f.unit, "definition": hashes[f.name]},
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
