"""The models of the shop: which version of each answers, how well it ranked, and why others do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from console.page import ConsolePage, Content, PageTable, Row, TableColumn, Visit
from console.words.messages import Translator
from serving.access.scopes import Scope
from serving.catalogue.model_versions import ModelHistory, ModelVersions, ranking_measure
from serving.catalogue.other_models import OtherModels
from serving.catalogue.routes import scoring_models
from serving.scores.schemas import ModelState
from serving.scores.scorer import Scorer


def load(visit: Visit) -> Content:
    """All models with their champions."""
    services, words = visit.services, visit.words
    states = {
        state.name: state for state in (*scoring_models(services[Scorer]), *services[OtherModels].states())
    }
    rows = [_row(history, states, words) for history in services[ModelVersions].histories()]
    columns = [
        TableColumn("model", "models.model", link="address"),
        TableColumn("question", "models.question"),
        TableColumn("champion", "models.champion"),
        TableColumn("measure", "models.measure"),
        TableColumn("trained", "models.trained", "day"),
        TableColumn("horizon", "models.horizon", "number"),
        TableColumn("versions", "models.versions", "number"),
        TableColumn("state", "models.state", "prose"),
    ]
    return Content({}, {"models": PageTable("models.all", columns, rows)})


PAGE = ConsolePage("models", "/models", Scope.OPERATIONS, load)


def address(name: str) -> str:
    """The address of a model's page."""
    return f"/console/models/{quote(name, safe='')}"


def measure_text(name: str, value: float, words: Translator) -> str:
    """A measure with its value."""
    return f"{words.choice('measure', name)} {words.number(value, 3)}"


def _row(history: ModelHistory, states: Mapping[str, ModelState], words: Translator) -> Row:
    champion, state = history.champion, states.get(history.name)
    measured = ranking_measure(champion) if champion else None
    row: dict[str, Any] = {
        "model": words.choice("model", history.name),
        "address": address(history.name) if history.versions else "",
        "question": words.choice("question", history.name) if words.language == "zh" else "",
        "champion": words("models.version", version=champion.version) if champion else None,
        "measure": measure_text(*measured, words) if measured else None,
        "trained": champion.trained or None if champion else None,
        "horizon": state.horizon_days if state else None,
        "versions": len(history.versions),
        "state": _state(history, state, words),
    }
    if state is not None and not row["question"]:
        row["question"] = state.question
    return row


def _state(history: ModelHistory, state: ModelState | None, words: Translator) -> str:
    """What the model does now, or what is missing."""
    champion = history.champion
    if not history.versions:
        return words("models.never_trained", model=history.name)
    if champion is None:
        return words("models.no_champion")
    if state is not None and state.reason:
        return state.reason
    if history.challenge is not None:
        share = words.percent(history.challenge.share)
        return words("models.challenged", version=history.challenge.version, share=share)
    return words("models.answers")
