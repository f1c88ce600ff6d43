"""One model: its versions, how they measured, and forms that change which version answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from console import model_card
from console.charts.calibration import calibration
from console.charts.series import Series, Write, bars
from console.page import ConsolePage, Content, PageTable, Row, TableColumn, Visit
from console.pages.models import address, measure_text
from console.words.features import measure_name
from console.words.messages import Translator
from core.errors import NothingThere
from features.groups import features_of
from models.questions import every
from models.registry.versions import ModelVersion
from serving.access.scopes import Scope
from serving.catalogue.model_versions import (
    ModelHistory,
    ModelVersions,
    TrainingEvidence,
    ranking_measure,
)

Tenths = Sequence[Mapping[str, Any]]
"""Tenths of the customers by score, as :class:`TrainingEvidence` has them."""


def load(visit: Visit) -> Content:
    """A model, with the evidence of the version in the query, by default of the champion.

    Raises:
        NothingThere: there is no such model or version.
    """
    words, service, name = visit.words, visit.services[ModelVersions], visit.path["name"]
    history = service.history(name)
    version = _chosen(history, visit.query.get("version"))
    evidence = service.evidence(version)
    champion = history.champion if not version.champion else None
    tenths = (evidence.tenths, service.evidence(champion).tenths if champion else ())
    model = every().get(name)
    is_money = model is not None and model.kind == "money"
    write = words.money if is_money else words.percent
    return Content(
        {
            "history": history,
            "version": version,
            "cards": _cards(history, words),
            "others": [v for v in history.versions if not v.champion],
            "moves": [vars(move) for move in history.promotions],
            "can_challenge": model is not None and history.champion is not None,
            "compared": champion,
            "calibration": _calibration(*tenths, words, write),
            "lift": _lift(*tenths, words),
            "card": model_card.sections(words, evidence.card, features_of(visit.home)),
        },
        {
            "versions": _versions(history, words),
            "measures": _measures(history, version, words),
            "tenths": _tenths(evidence, "money" if is_money else "percent"),
            "slices": _slices(evidence, version, "money" if is_money else "percent"),
        },
    )


PAGE = ConsolePage("model_versions", "/models/{name}", Scope.OPERATIONS, load, in_menu=False)


def _chosen(history: ModelHistory, number: str | None) -> ModelVersion:
    if not history.versions:
        raise NothingThere(f"{history.name} was never trained; run `patron train {history.name}`")
    if number is None:
        return history.champion or history.versions[0]
    for version in history.versions:
        if version.version == number:
            return version
    raise NothingThere(f"{history.name} has no version {number!r}")


def _cards(history: ModelHistory, words: Translator) -> list[dict[str, str]]:
    champion = history.champion
    if champion is None:
        return []
    measured = ranking_measure(champion)
    cards = [{"label": words("models.champion"), "value": champion.version, "note": ""}]
    if measured is not None:
        name, value = measured
        low, high = (champion.metrics.get(f"{name}_over_champion_{end}") for end in ("low", "high"))
        note = ""
        if low is not None and high is not None:
            note = words("model_versions.over_before", low=words.number(low, 3), high=words.number(high, 3))
        label = words.choice("measure", name)
        cards.append({"label": label, "value": words.number(value, 3), "note": note})
    trained = words.day(champion.trained or None)
    cards.append({"label": words("models.trained"), "value": trained, "note": ""})
    return cards


def _versions(history: ModelHistory, words: Translator) -> PageTable:
    rows = [
        {
            "version": words("models.version", version=version.version),
            "address": f"{address(history.name)}?version={version.version}",
            "trained": version.trained or None,
            "measure": _measured(version, words),
            "gates": "; ".join(version.failed_gates) or words("model_versions.passed"),
            "state": _state(history, version, words),
        }
        for version in history.versions
    ]
    columns = [
        TableColumn("version", "model_versions.version", link="address"),
        TableColumn("state", "models.state", "prose"),
        TableColumn("trained", "models.trained", "day"),
        TableColumn("measure", "models.measure"),
        TableColumn("gates", "model_versions.gates", "prose"),
    ]
    return PageTable("model_versions.versions", columns, rows)


def _measured(version: ModelVersion, words: Translator) -> str | None:
    measured = ranking_measure(version)
    return None if measured is None else measure_text(*measured, words)


def _state(history: ModelHistory, version: ModelVersion, words: Translator) -> str:
    if version.champion:
        return words("models.champion")
    if history.challenge is not None and history.challenge.version == version.version:
        return words("model_versions.challenger", share=words.percent(history.challenge.share))
    return version.not_promoted_because


def _measures(history: ModelHistory, version: ModelVersion, words: Translator) -> PageTable:
    """The measures of the shown version, beside those of the champion."""
    champion = history.champion
    compared = champion if champion is not None and not version.champion else None
    rows: list[Row] = [
        {
            "measure": measure_name(words, name),
            "value": round(value, 4),
            "champion": compared and _rounded(compared.metrics.get(name)),
        }
        for name, value in sorted(version.metrics.items())
    ]
    columns = [
        TableColumn("measure", "models.measure"),
        TableColumn("value", "model_versions.value", "measure"),
    ]
    if compared is not None:
        columns.append(TableColumn("champion", "model_versions.of_champion", "measure"))
    return PageTable("model_versions.measures", columns, rows)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _tenths(evidence: TrainingEvidence, kind: Any) -> PageTable:
    rows = [dict(tenth) | {"place": place} for place, tenth in enumerate(evidence.tenths, 1)]
    columns = [
        TableColumn("place", "model_versions.tenth", "number"),
        TableColumn("customers", "model_versions.customers", "number"),
        TableColumn("predicted", "model_versions.predicted", kind),
        TableColumn("actual", "model_versions.actual", kind),
        TableColumn("lift", "model_versions.lift", "measure"),
        TableColumn("money", "model_versions.money", "money"),
    ]
    return PageTable("model_versions.tenths", columns, rows, "model_versions.no_evidence")


def _slices(evidence: TrainingEvidence, version: ModelVersion, kind: Any) -> PageTable:
    measured = ranking_measure(version)
    columns = [
        TableColumn("of", "model_versions.slice", "prose" if version.name in every() else "data"),
        TableColumn("customers", "model_versions.customers", "number"),
        TableColumn("measure", f"measure.{measured[0]}" if measured else "models.measure", "measure"),
        TableColumn("predicted", "model_versions.predicted", kind),
        TableColumn("actual", "model_versions.actual", kind),
    ]
    return PageTable("model_versions.slices", columns, evidence.slices, "model_versions.no_evidence")


def _calibration(tenths: Tenths, champion: Tenths, words: Translator, write: Write) -> Markup | None:
    points, compared = (
        [(tenth["predicted"], tenth["actual"]) for tenth in version] for version in (tenths, champion)
    )
    if not points:
        return None
    title, across = words("model_versions.calibration"), words("model_versions.predicted")
    return calibration(title, points, write, across, compared)


def _lift(tenths: Tenths, champion: Tenths, words: Translator) -> Markup | None:
    lifts, compared = ([tenth["lift"] for tenth in version] for version in (tenths, champion))
    if not lifts or None in lifts:
        return None
    labels = [str(place) for place in range(1, len(lifts) + 1)]
    series = Series(words("model_versions.lifts"), labels, lifts, compared=compared)
    return bars(series, lambda value: words.number(value, 1))
