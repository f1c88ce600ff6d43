"""The traits that a shop declares as features in ``home.toml``, as a group like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import ibis.expr.types as ir

from core.declarations.traits import TraitDeclaration
from features.group import Feature, FeatureGroup
from features.groups import trait_values

GROUP = "traits"
_UNITS = {"number": "number", "text": "text", "flag": "yes or no", "day": "days"}
_DTYPES = {"number": "float64", "text": "string", "flag": "boolean", "day": "int64"}


def declared_group(declared: Sequence[TraitDeclaration]) -> FeatureGroup:
    """The group of declared traits; a day becomes the days since then, below 0 while it is to come."""
    group = FeatureGroup(GROUP, fresh_for=timedelta(days=7))

    @group.table
    def latest(traits: ir.Table) -> ir.Table:
        """One row per trait of a customer."""
        return trait_values.latest_of(traits)

    for trait in declared:
        group.features[trait.feature] = Feature(
            trait.feature, trait.meaning, _UNITS[trait.kind], _DTYPES[trait.kind], None, group, ("latest",),
            _value_of(trait),
        )  # fmt: skip
    return group


def _value_of(declaration: TraitDeclaration) -> Callable[[ir.Table], ir.Value]:
    def value(latest: ir.Table) -> ir.Value:
        return _KINDS[declaration.kind](latest, declaration.trait)

    return value


def _written(latest: ir.Table, trait: str) -> ir.StringValue:
    return latest.value.max(where=latest.name == trait)


_KINDS: Mapping[str, Callable[[ir.Table, str], ir.Value]] = {
    "number": lambda latest, trait: trait_values.number(_written(latest, trait)),
    "text": lambda latest, trait: trait_values.text(_written(latest, trait)),
    "flag": lambda latest, trait: trait_values.flag(_written(latest, trait)),
    "day": lambda latest, trait: latest.as_of_day.max() - trait_values.day(_written(latest, trait)),
}
