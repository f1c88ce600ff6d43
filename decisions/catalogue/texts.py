"""The texts and names of actions and audiences, by language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from decisions.catalogue.actions import NOTHING
from decisions.offers import CATEGORY, DISCOUNT, fill
from decisions.reasons import CatalogueNames, Language

NOTHING_TEXT = {"en": "No contact", "zh": "不联系"}
_NOTHING_LABEL = {"en": "doing nothing", "zh": "不联系"}
_LONGEST_NAME = 20  # characters of a text that stands for a name


def texts(canonical: str) -> dict[str, dict[str, str]]:
    """The texts of the actions of ``Actions.canonical``, by action and language."""
    by_action = {action["name"]: action["text"] for action in json.loads(canonical)["actions"]}
    return {NOTHING: NOTHING_TEXT, **by_action}


def offered(canonical: str) -> dict[str, dict[str, Any]]:
    """What the actions of ``Actions.canonical`` offer to every customer, by action: the ``discount`` as a
    share of the price, and the ``category`` of an effect on one.
    """
    offers = {}
    for action in json.loads(canonical)["actions"]:
        category = action["effect"].get("category")
        offers[action["name"]] = {DISCOUNT: action.get("discount", 0.0)}
        offers[action["name"]] |= {CATEGORY: category} if category else {}
    return offers


def filled_text(
    language: Language, by_language: Mapping[str, str], name: str, offer: Mapping[str, Any]
) -> str:
    """:func:`text_in` with the values of its placeholders, see :func:`decisions.offers.fill`."""
    return fill(text_in(language, by_language, name), language, offer)


def text_in(language: Language, by_language: Mapping[str, str], name: str) -> str:
    """An action's text in that language, else in another language, else the action's name."""
    return by_language.get(language) or next(iter(by_language.values()), name)


def names_in(language: Language, canonical: str) -> CatalogueNames:
    """What the actions and audiences of ``Actions.canonical`` are called in a language."""
    catalogue = json.loads(canonical)
    actions = {action["name"]: label_of(action, language) for action in catalogue["actions"]}
    audiences = catalogue.get("audiences", {}).items()
    return {
        "action": {NOTHING: _NOTHING_LABEL[language], **actions},
        "audience": {name: audience.get("text", {}).get(language, name) for name, audience in audiences},
    }


def label_of(action: Mapping[str, Any], language: Language) -> str:
    """An action's label in a language; without one its name, in Chinese its text if that is short."""
    if language in action.get("label", {}):
        return str(action["label"][language])
    text = str(action["text"].get(language, ""))
    is_name = language == "zh" and 0 < len(text) <= _LONGEST_NAME and "{" not in text
    return text if is_name else str(action["name"])
