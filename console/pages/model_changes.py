"""The forms of a model's page: promote, roll back, challenge."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import FormData

from console.changes import ConsoleChange, text
from console.page import Visit
from console.pages.models import address
from core.errors import PatronError
from models.questions import find
from models.registry import challenges, promotion
from models.text.bundle import promotion_hook
from serving.access.scopes import Scope
from serving.catalogue.model_versions import ModelVersions


def _promote(visit: Visit, form: FormData) -> str:
    name, registry = visit.path["name"], visit.services[ModelVersions].registry
    _check_seen(visit, form)
    promotion.promote(
        registry, name, text(form, "version"), text(form, "why"), force=text(form, "force") == "yes",
        hook=promotion_hook(name), who=visit.caller.name,
    )  # fmt: skip
    return address(name)


def _roll_back(visit: Visit, form: FormData) -> str:
    name, registry = visit.path["name"], visit.services[ModelVersions].registry
    _check_seen(visit, form)
    promotion.rollback(registry, name, text(form, "why"), promotion_hook(name), visit.caller.name)
    return address(name)


def _challenge(visit: Visit, form: FormData) -> str:
    name, registry = visit.path["name"], visit.services[ModelVersions].registry
    try:
        share = float(text(form, "share") or "0") / 100
    except ValueError as error:
        raise PatronError(visit.words("model_versions.share_wrong")) from error
    model = find(name)
    challenges.begin(registry, name, model.kind, text(form, "version"), share, who=visit.caller.name)
    return address(name)


def _end_challenge(visit: Visit, form: FormData) -> str:
    name, registry = visit.path["name"], visit.services[ModelVersions].registry
    version, who = text(form, "version"), visit.caller.name or promotion.user()
    if challenges.end(registry, name, version, f"ended by {who}") is None:
        raise PatronError(f"{name} version {version} does not challenge")
    return address(name)


def _check_seen(visit: Visit, form: FormData) -> None:
    """Refuse a form that was opened while another version was the champion."""
    champion = visit.services[ModelVersions].history(visit.path["name"]).champion
    present = champion.version if champion else ""
    if text(form, "champion") != present:
        raise PatronError(visit.words("model_versions.changed_meanwhile", version=present or "–"))


CHANGES: Sequence[ConsoleChange] = (
    ConsoleChange("/models/{name}/promote", Scope.OPERATIONS, _promote, "promoted a version"),
    ConsoleChange("/models/{name}/rollback", Scope.OPERATIONS, _roll_back, "rolled back a model"),
    ConsoleChange("/models/{name}/challenge", Scope.OPERATIONS, _challenge, "began a challenge"),
    ConsoleChange("/models/{name}/challenge/end", Scope.OPERATIONS, _end_challenge, "ended a challenge"),
)
