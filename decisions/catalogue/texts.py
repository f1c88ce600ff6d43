"""The texts of actions, by language."""

from __future__ import annotations

import json
from collections.abc import Mapping

from decisions.catalogue.actions import NOTHING
from decisions.reasons import Language

NOTHING_TEXT = {"en": "No contact", "zh": "不联系"}


def texts(canonical: str) -> dict[str, dict[str, str]]:
    """The texts of the actions of ``Actions.canonical``, by action and language."""
    by_action = {action["name"]: action["text"] for action in json.loads(canonical)["actions"]}
    return {NOTHING: NOTHING_TEXT, **by_action}


def text_in(language: Language, by_language: Mapping[str, str], name: str) -> str:
    """An action's text in that language, else in another language, else the action's name."""
    return by_language.get(language) or next(iter(by_language.values()), name)
