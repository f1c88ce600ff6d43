"""The hash of each feature's definition in a home; for features of opinions it includes the text
classifier.
"""

from __future__ import annotations

import hashlib

from core.home import Home
from features.group import Feature
from features.groups import features_of
from features.groups.definition_cache import definition
from features.text.opinions import TextReader


def definitions(home: Home) -> dict[str, str]:
    """The definitions by feature; models store these, and are refused if they have changed."""
    recipe = TextReader.of(home).recipe
    return {name: _with(feature, recipe) for name, feature in features_of(home).items()}


def _with(feature: Feature, recipe: str) -> str:
    own = definition(feature)
    return hashlib.sha256(f"{own} {recipe}".encode()).hexdigest() if feature.group.reads_opinions else own
