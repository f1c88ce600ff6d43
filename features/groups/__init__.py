"""The feature groups of this shop: one file each, one line here."""

from __future__ import annotations

from functools import lru_cache

from core.declarations import own_features
from core.declarations.own_features import SqlFeature
from core.declarations.traits import TraitDeclaration
from core.home import Home
from features.group import Feature, FeatureGroup
from features.groups.contacts import contacts
from features.groups.declared import declared_group
from features.groups.engagement import engagement
from features.groups.feedback import feedback
from features.groups.opinions import opinions
from features.groups.own_sql import own_group
from features.groups.price import price
from features.groups.profile import profile
from features.groups.purchases import purchases
from features.groups.segments import segments
from features.groups.subscription import subscription
from features.groups.taste import taste

GROUPS: tuple[FeatureGroup, ...] = (
    purchases, price, taste, engagement, contacts, subscription, profile, segments, feedback, opinions,
)  # fmt: skip
FEATURES: dict[str, Feature] = {name: feature for group in GROUPS for name, feature in group.features.items()}
"""The features of every shop."""


def groups_of(home: Home) -> tuple[FeatureGroup, ...]:
    """The groups of a shop, with those of the traits and of the SQL which it declares."""
    return _groups_with(home.traits(), own_features.declared(home.path))


def features_of(home: Home) -> dict[str, Feature]:
    """The features of a shop by name, with those that it declares."""
    return {name: feature for group in groups_of(home) for name, feature in group.features.items()}


@lru_cache(maxsize=8)
def _groups_with(
    traits: tuple[TraitDeclaration, ...], own: tuple[SqlFeature, ...]
) -> tuple[FeatureGroup, ...]:
    declared = ((declared_group(traits),) if traits else ()) + ((own_group(own),) if own else ())
    return (*GROUPS, *declared) if declared else GROUPS
