"""Features in the words of a user: their names, units and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.words.messages import NONE, Translator
from decisions import chinese
from features.group import Feature

SHARES = ("share", "probability", "confidence")
"""The units of values from 0 to 1 that are shown as percentages."""


def feature_name(words: Translator, name: str, known: Mapping[str, Feature]) -> str:
    """A feature as a phrase; one that a shop declared, and that has no meaning, by its own name.

    Args:
        known: the shop's features by name.
    """
    feature = known.get(name)
    if words.language == "zh":
        return chinese.FLAGS[name][0] if name in chinese.FLAGS else chinese.label(name)
    meaning = "" if feature is None else feature.meaning.rstrip(".")
    return meaning or name


def unit_name(words: Translator, unit: str) -> str:
    """The unit of a feature's values."""
    return words.currency if unit == "currency" else words.choice("unit", unit)


def feature_value(words: Translator, name: str, unit: str, value: Any) -> str:
    """A value of a feature with its unit, such as ``2 orders``, ``35%`` or ``yes``."""
    if value is None or value != value:
        return NONE
    if isinstance(value, bool):
        return words("features.yes" if value else "features.no")
    if isinstance(value, str):
        return chinese.measure(name, value) if words.language == "zh" else value
    if unit == "currency":
        return words.money(value)
    if unit in SHARES:
        return words.percent(value, 1)
    return f"{words.number(value, 2)} {unit_name(words, unit)}"
