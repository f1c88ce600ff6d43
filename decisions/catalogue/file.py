"""Read ``actions.toml``; errors name the action and the setting."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core.errors import NothingThere, PatronError, meant
from core.home import Home
from decisions.catalogue.actions import Action, Actions
from decisions.catalogue.budgets import Budget
from decisions.catalogue.saved import read_saved
from decisions.policies.limits import Limit
from decisions.policies.suppression import Suppression
from decisions.rules.tree import audiences
from decisions.values.effects import Effect
from features.group import Feature
from features.groups import FEATURES, features_of


def load(home: Home) -> Actions:
    """Read the actions of a home.

    Raises:
        NothingThere: there is no ``actions.toml``.
        PatronError: the file is invalid; the message names the action and the setting, and what to do.
    """
    try:
        content = home.actions.read_bytes()
    except FileNotFoundError as error:
        raise NothingThere(
            f"there are no actions in {home.actions}; `patron recommend --draft > {home.actions}` writes"
            " an example to change"
        ) from error
    except OSError as error:
        raise PatronError(f"{home.actions} cannot be read ({error})") from error
    return _with_addresses(parse(content, str(home.actions), features_of(home), read_saved(home)), home)


def parse(
    content: bytes, path: str, known: Mapping[str, Feature] = FEATURES, saved: Mapping[str, Any] | None = None
) -> Actions:
    """Parse the content of a file; errors name its ``path``.

    Args:
        known: the shop's features by name, which conditions can read.
        saved: the saved audiences by name; those that rules of the file name become part of the actions.
    """
    try:
        text = content.decode("utf-8-sig")
        table = tomllib.loads(text)
        return _with_used(table, saved or {}, known)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise PatronError(
            f"{path}: this is not a TOML file: line {line} is not in UTF-8{_encoding(content)};"
            " save it in UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise PatronError(f"{path}: this is not a TOML file: {error}{_hint(text, error)}") from error
    except ValidationError as error:
        errors = error.errors()
        if len(errors) > 1:  # an invalid action also leaves too few valid ones, which would mislead
            errors = [e for e in errors if e["type"] != "too_short" or e["loc"] != ("actions",)]
        wrong = "; ".join(dict.fromkeys(_message(e, table) for e in errors))
        raise PatronError(f"{path}: {wrong}") from error


def _with_used(table: dict[str, Any], saved: Mapping[str, Any], known: Mapping[str, Feature]) -> Actions:
    """The actions with those saved audiences that their rules name, so that others do not change them."""
    own = table.get("audiences", {})
    if not saved or not isinstance(own, dict):
        return Actions.model_validate(table, context=known)
    actions = Actions.model_validate(table | {"audiences": {**saved, **own}}, context=known)
    rules = [*actions.targets.values(), *(actions.audience_rules[name] for name in own)]
    used = {name for rule in rules for name in audiences(rule)}
    named = {name: content for name, content in saved.items() if name in used}
    if not named:
        return Actions.model_validate(table, context=known)
    return Actions.model_validate(table | {"audiences": {**named, **own}}, context=known)


def restore(canonical: str, home: Home) -> Actions:
    """The actions of an :attr:`Actions.canonical` that was stored for a home.

    Raises:
        PatronError: this version does not know a feature or setting of them.
    """
    try:
        return _with_addresses(Actions.model_validate(json.loads(canonical), context=features_of(home)), home)
    except ValueError as error:
        raise PatronError(
            f"{home.actions} was changed, and the actions of before the change cannot be used any more;"
            " start again"
        ) from error


def _with_addresses(actions: Actions, home: Home) -> Actions:
    """The same actions, whose channels know the features of their addresses."""
    traits = home.traits()
    for channel in actions.channels.values():
        channel.find_address(traits)
    return actions


def _encoding(content: bytes) -> str:
    """Which encoding a file may have, for the message."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ", but in UTF-16"
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        return ""
    return ", but perhaps in GBK" if re.search("[\u4e00-\u9fff]", text) else ""


def _hint(text: str, error: tomllib.TOMLDecodeError) -> str:
    """What may be wrong in the line of an error of TOML's grammar, and what to write."""
    place = re.search(r"line (\d+)", str(error))
    line = text.splitlines()[int(place[1]) - 1] if place else ""
    if re.search("[“”„‟‘’＂]", line):
        return '; use straight quotes, as in name = "reminder"'
    if comma := re.search(r"=\s*(\d+),(\d+)\s*(#|$)", line):
        return f"; write the number with a point: {comma[1]}.{comma[2]}"
    if re.search("[，＝［］｛｝]", line):
        return "; use half-width marks: , = [ ] { }"
    return ""


def _message(error: Any, table: Mapping[str, Any]) -> str:
    """The action by its name, the setting, and what is wrong with it."""
    location = list(error["loc"])
    where = []
    if location[:1] == ["actions"] and len(location) > 1:
        number = location[1]
        action = table["actions"][number]
        name = action.get("name") if isinstance(action, dict) else None
        where = [f"action {name}" if isinstance(name, str) else f"action number {number + 1}"]
        location = location[2:]
    elif location[:1] == ["actions"] and error["type"] in {"missing", "too_short"}:
        return "there is no action; add a section [[actions]]"
    setting = ".".join(str(key + 1) if isinstance(key, int) else key for key in location)
    meaning = _MEANINGS.get(location[-1] if location else "")
    message = meant(error)
    if error["type"] == "missing" or (meaning and error["type"] != "value_error"):
        message += f": {meaning}" if meaning else "; add it"
    return ": ".join([*where, *([setting] if setting else []), message])


_MEANINGS: dict[Any, str] = {
    name: field.description
    for section in (Effect, Action, Limit, Suppression, Budget, Actions)
    for name, field in section.model_fields.items()
    if field.description
}
