"""Versions of propensity per category in the registry: the model, and the history of the customers.

The bundle contains LightGBM's text, JSON and three Parquet files: ``customers.parquet`` and ``pairs.parquet``
are about customers, by key, ``categories.parquet`` about categories.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from core.errors import PatronError
from core.storage import parquet
from models.categories.history import UNITS, CategoryHistory
from models.categories.model import NAME, definition, score
from models.categories.reasons import reasons
from models.estimators.opening import open_fitted
from models.registry.bundle import FittedModel, sealed, verified
from models.registry.registry import Registry

_TABLES = ("customers", "pairs", "categories")
_RANKED = {
    "customer_key": pa.int64(), "category": pa.string(), "score": pa.float64(), "reason": pa.string(),
}  # fmt: skip


@dataclass(frozen=True)
class CategoryRanking:
    """A loaded published version; implements :class:`serving.rankings.ranking.Ranking`.

    Attributes:
        history: the history of the customers at training time.
        categories: the ranked categories; None for all.
    """

    model: FittedModel
    history: CategoryHistory
    categories: tuple[str, ...] | None = None

    @property
    def version(self) -> str:
        """The version's number."""
        return self.model.version

    @property
    def as_of(self) -> datetime:
        """The ranking is based on the orders known by this moment."""
        return datetime.fromisoformat(self.model.manifest["as_of"])

    @property
    def horizon_days(self) -> int:
        """The length of the window that a score is about, in days from ``as_of``."""
        return int(self.model.manifest["horizon_days"])

    def knows(self, customer_key: int) -> bool:
        """Whether the customer had ordered before ``as_of``."""
        return bool(self.history.has_ordered([customer_key])[0])

    def rank(self, customer_keys: Sequence[int], limit: int | None) -> pa.Table:
        """Rank the categories of customers who had ordered, by customer, the most probable first.

        Args:
            limit: the maximum number of categories per customer; None for all.

        Returns:
            ``customer_key``, ``category``, ``score`` (the probability of an order of the category within
            ``horizon_days`` days) and ``reason`` in words.
        """
        rows = self.history.rows(customer_keys, self.categories)
        rows = rows.assign(score=score(self.model, rows) if len(rows) else 0.0, reason=reasons(rows))
        rows = rows.sort_values(["customer_key", "score"], ascending=[True, False], kind="stable")
        if limit is not None:
            rows = rows.groupby("customer_key").head(limit)
        return pa.table({name: pa.array(rows[name], type_) for name, type_ in _RANKED.items()})


def to_files(
    model: FittedModel, known: CategoryHistory, about_version: Mapping[str, Any]
) -> dict[str, bytes]:
    """The files of a version, by name; the manifest contains the digests of the others.

    Args:
        about_version: further fields of the manifest.
    """
    files = {f"{name}.parquet": _bytes(getattr(known, name)) for name in _TABLES}
    return sealed(dict(model.manifest) | dict(about_version), model.fitted.to_files() | files)


def open_files(version: str, files: Mapping[str, bytes], manifest_digest: str) -> CategoryRanking:
    """Check every digest, then load.

    Raises:
        PatronError: a file is missing, was changed, or has another format than this code reads.
    """
    manifest = verified(version, files, manifest_digest)
    read = {column["name"]: column["definition"] for column in manifest["features"]}
    if read != {name: definition(name) for name in UNITS}:
        raise PatronError(f"version {version} of {NAME} has another format; run `patron train {NAME}`")
    model = FittedModel(version, manifest, open_fitted(files), {})
    tables = (parquet.read_bytes(files[f"{name}.parquet"]).to_pandas() for name in _TABLES)
    return CategoryRanking(model, CategoryHistory(*tables))


def open_version(registry: Registry, version: str) -> CategoryRanking:
    """A published version, with every digest checked.

    Raises:
        PatronError: its files are missing or damaged, or have another format than this code reads.
    """
    return open_files(version, *registry.files(NAME, version))


def _bytes(table: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    table.to_parquet(sink, index=False)
    return sink.getvalue()
