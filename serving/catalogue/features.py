"""The features of a shop: what they mean, which champions read them, how they are distributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.errors import NothingThere
from features.group import Feature
from models.measures.bins import Bin, bins_of
from serving.scores.champions import Champions


@dataclass(frozen=True)
class FeatureEntry:
    """A feature in the catalogue.

    Attributes:
        definition: SHA-256 of its SQL, as of the last build; None for one that was declared since.
        champions: the models whose champion reads it, by name.
    """

    feature: Feature
    definition: str | None
    champions: tuple[str, ...]


@dataclass(frozen=True)
class Distribution:
    """How a feature was distributed over the customers when a champion was trained.

    Attributes:
        shares: of the customers in each bin, which add up to 1 with ``missing``.
        missing: the share of customers without a value.
    """

    model: str
    version: str
    trained_as_of: datetime
    customers: int
    bins: Sequence[Bin]
    shares: Sequence[float]
    missing: float


def feature_catalogue(known: Mapping[str, Feature], champions: Champions) -> list[FeatureEntry]:
    """All features of a shop.

    Args:
        known: the shop's features by name.
    """
    try:
        definitions = champions.store.definitions()
    except NothingThere:
        definitions = {}
    return [
        FeatureEntry(
            feature,
            definitions.get(name),
            tuple(model for model, fitted in champions.models.items() if name in fitted.features),
        )
        for name, feature in known.items()
    ]


def distributions(champions: Champions, feature: str) -> list[Distribution]:
    """The distributions of a feature, one for each champion whose reference has it."""
    result = []
    for name, fitted in champions.models.items():
        spec = fitted.reference["columns"].get(feature)
        if spec is not None:
            as_of = datetime.fromisoformat(fitted.manifest["as_of"])
            rows, shares, missing = fitted.reference["rows"], spec["shares"], spec["missing"]
            result.append(Distribution(name, fitted.version, as_of, rows, bins_of(spec), shares, missing))
    return result
