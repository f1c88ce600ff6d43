"""The hash of each feature's definition in a home: of those made of opinions, with who reads the texts."""

from __future__ import annotations

import hashlib

from core.home import Home
from features.group import Feature
from features.groups import features_of
from features.text.opinions import TextReader


def definitions(home: Home) -> dict[str, str]:
    """By feature, what it computes; models hold these, and are refused where they are other ones."""
    recipe = TextReader.of(home).recipe
    return {name: _with(feature, recipe) for name, feature in features_of(home).items()}


def _with(feature: Feature, recipe: str) -> str:
    own = feature.definition()
    return hashlib.sha256(f"{own} {recipe}".encode()).hexdigest() if feature.group.reads_opinions else own
