"""The form of an action, with a preview of who would fit it; it changes the service's own catalogue only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import FormData

from console.changes import ConsoleChange, text
from console.page import ConsolePage, Content, Visit
from console.pages.actions import EDIT, warnings_of
from core.errors import NothingThere, PatronError
from decisions.catalogue import own_file
from decisions.catalogue.file import load as load_actions
from decisions.values.formulas import FORMULAS
from serving.access.scopes import Scope
from serving.actions.counted import CountedCatalogues

ACTIONS = "/console/actions"
TEXTS = ("channel", "group", "rule", "start", "end", "goal")
NUMBERS = ("cost", "repeat_after_days")
BY_LANGUAGE = ("label", "text")
SHARES = ("margin", "exploration_share", "holdout_share")
FIELDS = (
    "name", "digest", *TEXTS, *NUMBERS, "discount", "on", "times", "plus", *SHARES,
    *(f"{name}_{language}" for name in BY_LANGUAGE for language in ("en", "zh")),
)  # fmt: skip
Table = own_file.Table


def load(visit: Visit) -> Content:
    """The form: of a new action, of the one that ``name`` names, or as it was sent for a preview.

    Raises:
        ForeignCatalogue: a person's file is the source of the actions.
    """
    table = own_file.read(visit.home)
    digest = "" if table is None else load_actions(visit.home).digest
    previewed = "digest" in visit.query
    name = visit.query.get("name", "")
    known = next((a for a in (table or {}).get("actions", []) if a["name"] == name), None)
    fields = dict.fromkeys(FIELDS, "") | {"digest": digest, "repeat_after_days": "30", "times": "1.1"}
    if previewed:
        fields |= {field: visit.query.get(field, "") for field in FIELDS}
    elif known is not None:
        fields |= _fields(known)
    elif name:
        raise NothingThere(visit.words("action.missing", action=name))
    return Content(
        {
            "fields": fields,
            "first": table is None,
            "known": known is not None,
            "effects": list(FORMULAS),
            "preview": _preview(visit, fields) if previewed else None,
        }
    )


PAGE = ConsolePage("action", "/actions/edit", Scope.ACTIONS, load, in_menu=False)


def _preview(visit: Visit, fields: Mapping[str, str]) -> dict[str, Any]:
    """How many customers would fit, or what is wrong."""
    try:
        actions = own_file.preview(visit.home, _edit(visit, fields), fields["digest"] or None)
        catalogue = visit.services[CountedCatalogues].describe(actions)
    except PatronError as error:
        return {"problem": str(error)}
    fits = next(action["fits"] for action in catalogue["actions"] if action["name"] == fields["name"])
    return {
        "problem": "",
        "fits": fits,
        "customers": catalogue["customers"],
        "warnings": warnings_of(catalogue, visit.words, fields["name"]),
    }


def _fields(action: Mapping[str, Any]) -> dict[str, str]:
    """An action of the catalogue as the fields of the form."""
    fields = {name: _text(action.get(name)) for name in ("name", *TEXTS, *NUMBERS)}
    fields["discount"] = _text(_scaled(action.get("discount"), 100))
    effect = action.get("effect", {})
    fields |= {"on": effect.get("on", ""), "times": _text(effect.get("times"))}
    fields["plus"] = _text(_scaled(effect.get("plus"), 100))
    for name in BY_LANGUAGE:
        fields |= {f"{name}_{language}": action.get(name, {}).get(language, "") for language in ("en", "zh")}
    return fields


def _edit(visit: Visit, fields: Mapping[str, str]) -> Callable[[Table], Table]:
    """The change that the form describes; settings that the form does not have stay."""

    def number(name: str, unit: float = 1) -> float | int | None:
        if not fields[name]:
            return None
        try:
            value = float(fields[name])
        except ValueError as error:
            raise PatronError(visit.words("action.no_number", field=visit.words(f"action.{name}"))) from error
        value = _scaled(value, unit) or 0.0
        return int(value) if value.is_integer() and name == "repeat_after_days" else value

    def edit(table: Table) -> Table:
        others = table or {share: number(share, 0.01) for share in SHARES}
        present: Table = next((a for a in table.get("actions", []) if a["name"] == fields["name"]), {})
        settings: Table = present | {name: fields[name] or None for name in TEXTS}
        settings |= {name: number(name) for name in NUMBERS} | {"discount": number("discount", 0.01)}
        effect = {"on": fields["on"], "times": number("times"), "plus": number("plus", 0.01)}
        settings["effect"] = present.get("effect", {}) | effect
        for name in BY_LANGUAGE:
            texts = {language: fields[f"{name}_{language}"] for language in ("en", "zh")}
            settings[name] = {language: value for language, value in texts.items() if value}
        return own_file.with_action(others, fields["name"], settings)

    return edit


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else round(value * unit, 8)


def _sent(form: FormData) -> dict[str, str]:
    return {field: text(form, field) for field in FIELDS}


# Changes


def _show_preview(visit: Visit, form: FormData) -> str:
    del visit
    return f"{EDIT}?{urlencode(_sent(form))}"


def _save(visit: Visit, form: FormData) -> str:
    fields = _sent(form)
    own_file.change(visit.home, _edit(visit, fields), fields["digest"] or None)
    return ACTIONS


def _delete(visit: Visit, form: FormData) -> str:
    name, digest = text(form, "name"), text(form, "digest")
    own_file.change(visit.home, lambda table: own_file.without_action(table, name), digest or None)
    return ACTIONS


CHANGES = (
    ConsoleChange("/actions/preview", Scope.ACTIONS, _show_preview, "previewed an action"),
    ConsoleChange("/actions/save", Scope.ACTIONS, _save, "saved an action"),
    ConsoleChange("/actions/delete", Scope.ACTIONS, _delete, "deleted an action"),
)
