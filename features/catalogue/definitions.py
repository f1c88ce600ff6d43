"""The hash of each feature's definition in a home; for features of opinions it includes the text classifier,
and where the shop permits approximate medians, they have other hashes than exact ones.
"""

from __future__ import annotations

import hashlib
from functools import cache

from core.home import Home
from core.storage.warehouses import medians
from events.warehouse import is_in_warehouse
from features.group import Feature, digest
from features.groups import features_of
from features.groups.definition_cache import definition
from features.text.opinions import TextReader


def definitions(home: Home) -> dict[str, str]:
    """The definitions by feature; models store these, and are refused if they have changed."""
    recipe = TextReader.of(home).recipe
    approximate = is_in_warehouse(home) and home.shop().approximate
    return {name: _with(feature, recipe, approximate) for name, feature in features_of(home).items()}


def _with(feature: Feature, recipe: str, approximate: bool) -> str:
    own = _approximate(feature) if approximate else definition(feature)
    return hashlib.sha256(f"{own} {recipe}".encode()).hexdigest() if feature.group.reads_opinions else own


@cache
def _approximate(feature: Feature) -> str:
    """The definition with approximate medians, which is the other one for a feature without a median."""
    return digest(medians.approximated(feature.expression()))
