"""The catalogue of features, and a page for each with its distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException

from console.charts.series import Series, bars
from console.page import ConsolePage, Content, PageTable, TableColumn, Visit
from console.personal.masks import is_personal
from console.words.features import bin_name, feature_name, feature_value, unit_name
from console.words.messages import Translator
from core.errors import NothingThere
from features.group import Feature
from features.groups import features_of
from features.offline.current import current_files
from serving.access.scopes import Scope
from serving.catalogue.features import Distribution, FeatureEntry, distributions, feature_catalogue
from serving.scores.champions import Champions
from serving.scores.scorer import Scorer

HASH_LENGTH = 8
"""Characters of a definition's digest in the catalogue."""


def load(visit: Visit) -> Content:
    """The features that fit the parameters ``q``, ``group`` and ``model`` of the query."""
    scorer = visit.services[Scorer]
    entries = feature_catalogue(features_of(visit.home), scorer.champions)
    chosen = {name: visit.query.get(name, "").strip() for name in ("q", "group", "model")}
    shown = [entry for entry in entries if _fits(visit, entry, **chosen)]
    values = {
        "as_of": _built_at(visit),
        "total": len(entries),
        "groups": list(dict.fromkeys(entry.feature.group.name for entry in entries)),
        "models": list(scorer.champions.models),
        "stale": scorer.freshness.reason,
    }
    return Content(values | {"chosen": chosen}, {"features": _table(visit, shown)})


def load_feature(visit: Visit) -> Content:
    """A feature by the name in the path.

    Raises:
        HTTPException: 404: there is no such feature.
    """
    name, words = visit.path["name"], visit.words
    champions = visit.services[Scorer].champions
    known = features_of(visit.home)
    if name not in known:
        raise HTTPException(404, words("features.unknown", feature=name))
    (entry,) = feature_catalogue({name: known[name]}, champions)
    feature = entry.feature
    is_hidden = visit.is_masked and feature.dtype == "string" and is_personal(feature)
    distribution = None if is_hidden else _distribution(visit, champions, name)
    missing = feature.missing
    return Content(
        {
            "entry": entry,
            "name": feature_name(words, name, known),
            "description": _more(visit, feature),
            "unit": unit_name(words, feature.unit),
            "fresh_for": feature.group.fresh_for.days,
            "missing": None if missing is None else feature_value(words, name, feature.unit, missing),
            "inputs": [known[other] for other in feature.inputs if other in known],
            "as_of": _built_at(visit),
            "distribution": distribution,
            "models": [d.model for d in distributions(champions, name)],
            "chart": None if distribution is None else _chart(visit, entry, distribution),
        },
        {} if distribution is None else {"distribution": _shares(visit, entry, distribution)},
    )


PAGE = ConsolePage("features", "/features", Scope.SEGMENTS, load, reads_models=True)
FEATURE_PAGE = ConsolePage(
    "feature", "/features/{name}", Scope.SEGMENTS, load_feature, in_menu=False, reads_models=True
)


def address(name: str) -> str:
    """The address of a feature's page."""
    return f"/console/features/{quote(name, safe='')}"


def _built_at(visit: Visit) -> Any:
    """The moment of the last build; None before the first."""
    try:
        return current_files(visit.home)[0]
    except NothingThere:
        return None


def _more(visit: Visit, feature: Feature) -> str:
    """The description where it says more than the name; descriptions are English."""
    description = " ".join(feature.description.split())
    name = feature_name(visit.words, feature.name, {feature.name: feature})
    return "" if visit.words.language == "zh" or description == f"{name}." else description


def _meaning(words: Translator, feature: Feature) -> str:
    """The whole meaning; in Chinese the name, which says it."""
    if words.language == "en" and feature.meaning:
        return feature.meaning.rstrip(".")
    return feature_name(words, feature.name, {feature.name: feature})


def _fits(visit: Visit, entry: FeatureEntry, q: str, group: str, model: str) -> bool:
    feature = entry.feature
    label = feature_name(visit.words, feature.name, {feature.name: feature})
    text = f"{feature.name} {label} {feature.description}".lower()
    return (
        q.lower() in text and group in ("", feature.group.name) and (model == "" or model in entry.champions)
    )


def _table(visit: Visit, entries: Sequence[FeatureEntry]) -> PageTable:
    words = visit.words
    rows = [
        {
            "name": entry.feature.name,
            "address": address(entry.feature.name),
            "meaning": _meaning(words, entry.feature),
            "unit": unit_name(words, entry.feature.unit),
            "group": words.choice("feature_group", entry.feature.group.name),
            "champions": words("features.and").join(words.choice("model", n) for n in entry.champions),
            "definition": (entry.definition or "")[:HASH_LENGTH],
        }
        for entry in entries
    ]
    columns = [
        TableColumn("name", "features.name", "code", link="address", is_row_header=True, note="meaning"),
        TableColumn("meaning", "features.meaning", is_exported_only=True),
        TableColumn("unit", "features.unit"),
        TableColumn("group", "features.group"),
        TableColumn("champions", "features.champions"),
        TableColumn("definition", "features.definition", "code"),
    ]
    return PageTable("features.title", columns, rows, "features.none")


def _distribution(visit: Visit, champions: Champions, name: str) -> Distribution | None:
    """The distribution of the model that the query names, else of the first; None without any."""
    stored = {d.model: d for d in distributions(champions, name)}
    chosen = visit.query.get("model", "")
    return stored.get(chosen) or next(iter(stored.values()), None)


def _bins(visit: Visit, entry: FeatureEntry, distribution: Distribution) -> list[tuple[str, float]]:
    """The name and the share of each bin that has customers; missing values are the last."""
    named = [
        (bin_name(visit.words, entry.feature, of), share)
        for of, share in zip(distribution.bins, distribution.shares, strict=True)
        if share > 0
    ]
    missing = [(visit.words("features.missing"), distribution.missing)] if distribution.missing > 0 else []
    return named + missing


def _chart(visit: Visit, entry: FeatureEntry, distribution: Distribution) -> Any:
    named = _bins(visit, entry, distribution)
    labels, shares = [name for name, _ in named], [share for _, share in named]
    series = Series(visit.words("features.distribution"), labels, shares)
    return bars(series, visit.words.percent)


def _shares(visit: Visit, entry: FeatureEntry, distribution: Distribution) -> PageTable:
    rows = [{"value": name, "share": share} for name, share in _bins(visit, entry, distribution)]
    columns = [
        TableColumn("value", "features.value", is_row_header=True),
        TableColumn("share", "features.share", "percent"),
    ]
    return PageTable("features.distribution", columns, rows)
