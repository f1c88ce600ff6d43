"""Features in the words of a user: their names, units and values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from console.words.messages import NONE, Translator, catalogue
from decisions import chinese
from features.group import Feature
from models.measures.bins import Bin

SHARES = ("share", "probability", "confidence")
"""The units of values from 0 to 1 that are shown as percentages."""


def feature_name(words: Translator, name: str, known: Mapping[str, Feature]) -> str:
    """A feature as a phrase: in English its meaning without special cases, which follow a semicolon or colon.

    One that a shop declared, and that has no meaning, has its own name.

    Args:
        known: the shop's features by name.
    """
    feature = known.get(name)
    if words.language == "zh":
        return chinese.FLAGS[name][0] if name in chinese.FLAGS else chinese.label(name)
    meaning = "" if feature is None else feature.meaning.rstrip(".")
    return re.split("[;:]", meaning)[0] or name


def trait_name(words: Translator, name: str) -> str:
    """A trait of a customer; one that a shop declares by its own name."""
    if words.language == "en":
        return name
    return chinese.FLAGS[name][0] if name in chinese.FLAGS else chinese.label(name)


def unit_name(words: Translator, unit: str) -> str:
    """The unit of a feature's values."""
    return words.currency_name() if unit == "currency" else words.choice("unit", unit)


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
    return f"{words.number(value, 2)} {words.choice('unit', unit, value)}"


def bin_name(words: Translator, feature: Feature, of: Bin) -> str:
    """A bin of a feature's values, such as ``4 to 6``; whole numbers are between their bounds."""
    if of.text is not None:
        named = {"true": True, "false": False}.get(of.text, of.text)
        return feature_value(words, feature.name, feature.unit, named)
    if of.low is None and of.high is None:
        return words("features.other")

    def number(value: float) -> str:
        if feature.unit in SHARES:
            return words.percent(value, 1)
        return words.number(value, 0 if abs(value) >= 100 else 2)

    low, high, is_whole = of.low, of.high, feature.dtype == "int64"
    if is_whole and not of.is_number:
        low = None if low is None else math.floor(low) + 1
        high = None if high is None else math.floor(high)
    if low is not None and high is not None:
        if low == high:
            return number(low)
        return words("console.interval", low=number(low), high=number(high))
    if high is not None:
        return words("features.up_to", high=number(high))
    return words("features.from" if is_whole else "features.above", low=number(low or 0.0))


def measure_name(words: Translator, name: str) -> str:
    """A measure of a model, such as ``AUC`` or ``AUC more than recency, at least``.

    Measures of a baseline are named ``MEASURE_BASELINE``, comparisons with it ``MEASURE_over_BASELINE``, with
    ``_mean`` or an end of the interval, ``_low`` or ``_high``.
    """
    measures = {key.partition(".")[2] for key in catalogue() if key.startswith("measure.")}
    if name in measures:
        return words.choice("measure", name)
    base, over, baseline = name.partition("_over_")
    if not over:
        base = max((m for m in measures if name.startswith(f"{m}_")), key=len, default="")
        if not base:
            return name
        values = {"measure": words.choice("measure", base)}
        return words("features.measure_of", **values, baseline=_baseline(words, name[len(base) + 1 :]))
    end = next((end for end in ("low", "high", "mean") if baseline.endswith(f"_{end}")), "")
    baseline = _baseline(words, baseline.removesuffix(f"_{end}"))
    difference = words("features.measure_over", measure=words.choice("measure", base), baseline=baseline)
    return difference + (words(f"features.measure_{end}") if end else "")


def _baseline(words: Translator, name: str) -> str:
    return words.choice("baseline", name)
