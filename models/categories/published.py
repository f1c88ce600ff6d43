"""Versions of propensity per category in the registry: the model, and what it knew of customers.

The bundle has LightGBM's text, JSON and three Parquet files: ``customers.parquet`` and ``pairs.parquet`` are
about customers, by their keys, ``categories.parquet`` about categories.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from core.errors import PatronError
from models.categories.history import UNITS, History
from models.categories.model import NAME, definition
from models.estimators.opening import open_fitted
from models.registry.bundle import FittedModel, sealed, verified
from models.registry.registry import Registry

_TABLES = ("customers", "pairs", "categories")


@dataclass(frozen=True)
class Published:
    """A version that is opened.

    Attributes:
        history: what was known of customers when it was trained.
    """

    model: FittedModel
    history: History

    @property
    def version(self) -> str:
        """The version's number."""
        return self.model.version

    @property
    def as_of(self) -> datetime:
        """What was known then is what answers rest on."""
        return datetime.fromisoformat(self.model.manifest["as_of"])

    @property
    def horizon_days(self) -> int:
        """How far ahead it asks."""
        return int(self.model.manifest["horizon_days"])


def to_files(model: FittedModel, known: History, told: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a version, by name; the manifest holds the digests of the others.

    Args:
        told: what else the manifest says.
    """
    files = {f"{name}.parquet": _bytes(getattr(known, name)) for name in _TABLES}
    return sealed(dict(model.manifest) | dict(told), model.fitted.to_files() | files)


def open_files(version: str, files: Mapping[str, bytes], manifest_digest: str) -> Published:
    """Check every digest, then open.

    Raises:
        PatronError: a file is missing, was changed, or is of another format than this code reads.
    """
    manifest = verified(version, files, manifest_digest)
    read = {column["name"]: column["definition"] for column in manifest["features"]}
    if read != {name: definition(name) for name in UNITS}:
        raise PatronError(
            f"version {version} of {NAME} was made by other code than this; run `patron train {NAME}`"
        )
    model = FittedModel(version, manifest, open_fitted(files), {})
    return Published(model, History(*(pd.read_parquet(io.BytesIO(files[f"{n}.parquet"])) for n in _TABLES)))


def open_version(registry: Registry, version: str) -> Published:
    """A published version, with every digest checked.

    Raises:
        PatronError: its files are missing or damaged, or of other code than this.
    """
    return open_files(version, *registry.files(NAME, version))


def open_champion(registry: Registry) -> Published:
    """The version that answers.

    Raises:
        NoChampion: none was promoted; the text says why.
        PatronError: as :func:`open_version`.
    """
    return open_version(registry, registry.champion_version(NAME))


def _bytes(table: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    table.to_parquet(sink, index=False)
    return sink.getvalue()
