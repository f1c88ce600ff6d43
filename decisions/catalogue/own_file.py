"""The catalogue of a home that the service itself keeps: changed by requests, stored as ``actions.toml``.

A file that a person wrote stays the source, and is never changed here. The service's own file begins with
:data:`MARK`; a person who takes this line out takes the file over.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

from core import files, locks
from core.errors import NothingThere, PatronError
from core.home import Home
from decisions.catalogue.actions import Actions
from decisions.catalogue.file import load, parse
from decisions.catalogue.saved import read_saved
from features.groups import features_of

MARK = "# Kept by the service: change it by requests to /v1/actions. Without this line the file is yours."
_BARE = re.compile(r"[A-Za-z0-9_-]+")
Table = dict[str, Any]


class ForeignCatalogue(PatronError):
    """A person's file is the source of the catalogue."""


class StaleCatalogue(PatronError):
    """The catalogue is another one than the request assumes."""


class InvalidCatalogue(PatronError):
    """The catalogue of a request cannot be used; the text names the action and the setting."""


def change(home: Home, edit: Callable[[Table], Table], digest: str | None) -> Actions:
    """Change the catalogue in one step, under a lock of the home.

    Args:
        edit: the new content for the present one, which is empty if there is no catalogue.
        digest: of the catalogue that is changed; None if there must be none.

    Raises:
        ForeignCatalogue: a person's file is the source.
        StaleCatalogue: the catalogue has another digest.
        InvalidCatalogue: the new content is none.
    """
    with open(home.path / ".actions.lock", "w") as lock:
        locks.wait(lock)
        content, actions = _edited(home, edit, digest)
        files.replace(home.actions, content, durable=True)
        return actions


def preview(home: Home, edit: Callable[[Table], Table], digest: str | None) -> Actions:
    """The catalogue that :func:`change` would store; it stores nothing. Arguments and errors are the same."""
    return _edited(home, edit, digest)[1]


def _edited(home: Home, edit: Callable[[Table], Table], digest: str | None) -> tuple[str, Actions]:
    """The new content of the file, and the actions in it."""
    present = read(home)
    actual = None if present is None else load(home).digest
    if actual != digest:
        raise StaleCatalogue(
            "there is no catalogue yet; send it whole, without If-Match"
            if actual is None
            else f"the catalogue is the version {actual}; read it again, and send its digest as If-Match"
        )
    content = toml_text(edit(present or {}))
    try:
        return content, parse(content.encode(), "the catalogue", features_of(home), read_saved(home))
    except (PatronError, UnicodeEncodeError) as error:
        message = str(error) if isinstance(error, PatronError) else "a text is no valid Unicode"
        raise InvalidCatalogue(message) from error


def read(home: Home) -> Table | None:
    """The content of the service's own file; None if there is no file.

    Raises:
        ForeignCatalogue: a person's file is the source.
    """
    try:
        text = home.actions.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ForeignCatalogue(f"{home.actions} cannot be read") from error
    if not text.startswith(MARK):
        raise ForeignCatalogue(
            "actions.toml in the home was written by hand and is the source of the actions; change them there"
        )
    return tomllib.loads(text)


def with_action(table: Table, name: str, settings: Table) -> Table:
    """The catalogue with an action added, or replaced."""
    others = [action for action in table.get("actions", []) if action.get("name") != name]
    return table | {"actions": [*others, {**settings, "name": name}]}


def without_action(table: Table, name: str) -> Table:
    """The catalogue without an action.

    Raises:
        NothingThere: there is no such action.
    """
    others = [action for action in table.get("actions", []) if action.get("name") != name]
    if len(others) == len(table.get("actions", [])):
        raise NothingThere("there is no such action")
    return table | {"actions": others}


def toml_text(table: Table) -> str:
    """A catalogue as TOML, with a section per action; settings that are null are left out."""
    sections = table.get("actions")
    are_tables = isinstance(sections, list) and all(isinstance(section, dict) for section in sections)
    by_action = sections if are_tables else None
    lines = [MARK]
    for key, value in table.items():
        if value is not None and (key != "actions" or by_action is None):
            lines.append(f"{_key(key)} = {inline(value)}")
    for action in by_action or []:
        lines += ["", "[[actions]]"]
        lines += [f"{_key(key)} = {inline(value)}" for key, value in action.items() if value is not None]
    return "\n".join([*lines, ""])


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def inline(value: Any) -> str:
    """A value in one line of TOML; what is null in it is left out."""
    if isinstance(value, dict):
        pairs = (f"{_key(str(k))} = {inline(v)}" for k, v in value.items() if v is not None)
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(inline(item) for item in value if item is not None) + "]"
    return json.dumps(value, ensure_ascii=False)
