"""Descriptions of the features, with the models that use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import PatronError
from features.group import Feature
from features.groups import FEATURES, definition_cache
from models.questions import every


@dataclass(frozen=True)
class FeatureDescription:
    """A feature's description; ``definition`` is the hash of its SQL."""

    name: str
    group: str
    meaning: str
    unit: str
    type: str
    fresh_for_days: float
    definition: str
    models: tuple[str, ...]


def describe(name: str | None = None, known: Mapping[str, Feature] = FEATURES) -> list[FeatureDescription]:
    """All features, or the one with that name.

    Args:
        known: the features by name.

    Raises:
        PatronError: there is no such feature.
    """
    if name is not None and name not in known:
        raise PatronError(f"there is no feature {name!r}; there are {', '.join(sorted(known))}")
    return [
        FeatureDescription(
            feature.name,
            feature.group.name,
            " ".join(feature.description.split()),
            feature.unit,
            feature.dtype,
            feature.group.fresh_for.total_seconds() / 86_400,
            definition_cache.definition(feature),
            tuple(m.name for m in every().values() if feature in m.features or _is_declared(feature)),
        )
        for feature in known.values()
        if name in (None, feature.name)
    ]


def _is_declared(feature: Feature) -> bool:
    """Whether a feature is a trait that the shop declares; every customer model learns from those."""
    return feature.name not in FEATURES


def page() -> str:
    """The documentation page of the features, in Markdown."""
    lines = ["# Features", "", "Made by `patron features --write docs/features.md`."]
    group = None
    for feature in describe():
        if feature.group != group:
            group = feature.group
            lines += ["", f"## {group}", "", f"Counted as stale after {feature.fresh_for_days:g} days.", ""]
            lines += ["| feature | meaning | unit | type | models |", "|---|---|---|---|---|"]
        models = ", ".join(feature.models) or "none yet"
        lines.append(f"| `{feature.name}` | {feature.meaning} | {feature.unit} | {feature.type} | {models} |")
    return "\n".join(lines) + "\n"
