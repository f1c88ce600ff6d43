"""The actions: what the company can do, who fits now, and the limits, channels and budgets around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from console.catalogue_names import channel_name, group_name
from console.page import ConsolePage, Content, PageTable, Row, TableColumn, Visit
from console.words.messages import Translator
from core.errors import NothingThere
from core.home import Home
from decisions.catalogue import own_file
from decisions.catalogue.actions import Actions
from decisions.catalogue.budgets import Budget
from decisions.catalogue.file import load as load_actions
from decisions.catalogue.texts import label_of
from decisions.policies.limits import Limit, effective
from serving.access.scopes import Scope
from serving.actions.counted import CountedCatalogues

EDIT = "/console/actions/edit"


def load(visit: Visit) -> Content:
    """The catalogue as it is declared, with the customers who fit each action as of the last build."""
    words = visit.words
    may_edit = visit.may_change and visit.caller.may(Scope.ACTIONS)
    values: dict[str, Any] = {"may_edit": may_edit, "by_hand": is_by_hand(visit.home), "edit": EDIT}
    try:
        actions = load_actions(visit.home)
    except NothingThere:
        return Content(values | {"catalogue": None, "cards": [], "warnings": []})
    catalogue = visit.services[CountedCatalogues].describe(actions)
    editable = may_edit and not values["by_hand"]
    return Content(
        values
        | {
            "catalogue": catalogue,
            "cards": _cards(actions, words),
            "warnings": warnings_of(catalogue, words),
        },
        {
            "actions": _actions(catalogue["actions"], words, editable),
            "limits": _limits(effective(actions.limits), words),
            "channels": _channels(catalogue["channels"], words),
            "budgets": _budgets(actions.budgets, words),
        },
    )


PAGE = ConsolePage("actions", "/actions", Scope.DECISIONS, load, jobs=("decisions", "release"))


def is_by_hand(home: Home) -> bool:
    """Whether a person's file is the source of the catalogue, which is never changed here."""
    try:
        own_file.read(home)
    except own_file.ForeignCatalogue:
        return True
    return False


def warnings_of(catalogue: Mapping[str, Any], words: Translator, action: str | None = None) -> list[str]:
    """What looks like a mistake, in the language of the visitor; of one action if it is given."""
    return [
        str(warning[words.language])
        for warning in catalogue["warnings"]
        if action in (None, warning["action"])
    ]


def _cards(actions: Actions, words: Translator) -> list[dict[str, str]]:
    shares = {
        "margin": actions.margin,
        "holdout": actions.lasting_holdout_share,
        "exploration": actions.exploration_share,
    }
    return [{"name": name, "value": words.percent(share, 1)} for name, share in shares.items()]


def _actions(actions: Sequence[Mapping[str, Any]], words: Translator, editable: bool) -> PageTable:
    rows: list[Row] = [
        {
            "name": label_of(action, words.language),
            "address": f"{EDIT}?{urlencode({'name': action['name']})}" if editable else "",
            "state": words.choice("action_state", action["state"]),
            "fits": action["fits"],
            "rule": action["rule"] or words("actions.everybody"),
            "channel": channel_name(action["channel"], words.language),
            "group": group_name(action["group"], words.language),
            "cost": action["cost"],
            "discount": action["discount"],
            "effect": effect_text(action["effect"], words),
            "repeat": action["repeat_after_days"],
            "start": action["start"],
            "end": action["end"],
        }
        for action in actions
    ]
    columns = [
        TableColumn("name", "actions.action", link="address"),
        TableColumn("state", "actions.state"),
        TableColumn("fits", "actions.fits", "number"),
        TableColumn("rule", "actions.rule", "code"),
        TableColumn("channel", "actions.channel"),
        TableColumn("group", "actions.group"),
        TableColumn("cost", "actions.cost", "money"),
        TableColumn("discount", "actions.discount", "percent"),
        TableColumn("effect", "actions.effect"),
        TableColumn("repeat", "actions.repeat", "number"),
        TableColumn("start", "actions.start", "day"),
        TableColumn("end", "actions.end", "day"),
    ]
    return PageTable("actions.all", columns, rows)


def effect_text(effect: Mapping[str, Any], words: Translator) -> str:
    """An assumed effect in words."""
    parts = [words.choice("effect", effect["on"])]
    if effect.get("times", 1) != 1:
        parts.append(f"× {words.number(effect['times'], 2)}")
    if effect.get("plus", 0):
        parts.append(f"{'+' if effect['plus'] > 0 else '−'} {words.percent(abs(effect['plus']), 1)}")
    return " ".join(parts)


def _limits(limits: Sequence[Limit], words: Translator) -> PageTable:
    rows: list[Row] = [
        {
            "max": limit.max,
            "per": words.choice("window", limit.per),
            "channel": channel_name(limit.channel, words.language) if limit.channel else words("actions.any"),
            "group": group_name(limit.group, words.language) or words("actions.any"),
        }
        for limit in limits
    ]
    columns = [
        TableColumn("max", "actions.max", "number"),
        TableColumn("per", "actions.per"),
        TableColumn("channel", "actions.channel"),
        TableColumn("group", "actions.group"),
    ]
    return PageTable("actions.limits", columns, rows)


def _channels(channels: Mapping[str, Mapping[str, Any] | None], words: Translator) -> PageTable:
    rows: list[Row] = []
    for name, declared in channels.items():
        settings = declared or {}
        quiet = settings.get("quiet_hours")
        rows.append(
            {
                "channel": channel_name(name, words.language),
                "purpose": words.choice("purpose", settings.get("purpose", "marketing")),
                "consent": words.choice("consent", settings.get("consent", "not_needed")),
                "capacity": settings.get("capacity_per_day"),
                "quiet": f"{quiet[0]}–{quiet[1]}" if quiet else None,
                "address": settings.get("address"),
            }
        )
    columns = [
        TableColumn("channel", "actions.channel"),
        TableColumn("purpose", "actions.purpose"),
        TableColumn("consent", "actions.consent"),
        TableColumn("capacity", "actions.capacity", "number"),
        TableColumn("quiet", "actions.quiet"),
        TableColumn("address", "actions.address"),
    ]
    return PageTable("actions.channels", columns, rows)


def _budgets(budgets: Sequence[Budget], words: Translator) -> PageTable:
    rows: list[Row] = [
        {
            "name": budget.name,
            "of": " · ".join(part for part in (budget.action, budget.group, budget.channel) if part)
            or words("actions.any"),
            "money": budget.money,
            "contacts": budget.contacts,
            "at_least": budget.at_least,
        }
        for budget in budgets
    ]
    columns = [
        TableColumn("name", "actions.budget"),
        TableColumn("of", "actions.covers"),
        TableColumn("money", "actions.money", "money"),
        TableColumn("contacts", "actions.contacts", "number"),
        TableColumn("at_least", "actions.at_least", "number"),
    ]
    return PageTable("actions.budgets", columns, rows, "actions.no_budgets")
