"""Masks: what a role that sees customers masked is shown of an id, a trait, a feature and a written text.

They are pure functions. What a mask leaves out cannot be computed from what it shows. What is not known to be
harmless is hidden: Patron cannot know what a shop writes into a trait.
"""

from __future__ import annotations

import re
from typing import Any

from features.group import Feature
from features.groups import declared, own_sql
from features.groups.profile import profile

HIDDEN = "…"
MIN_ID, LONG_ID = 8, 12
"""Ids of fewer characters than the first are hidden; from the second on two of each end are shown."""
SHARED_TRAITS = ("country", "address.country", "channel", "newsletter")
"""Traits that describe many customers alike; built-in features are made of them."""
_PHONE = re.compile(r"phone|mobile|\btel\b|电话|手机", re.IGNORECASE)
_SHARED_TEXT = re.compile(r"[^\W\d_][^\W\d]{0,39}(?:[ '&.-]+[^\W\d]+){0,4}")
_MIN_PHONE_DIGITS = 7


def mask_id(customer_id: str) -> str:
    """The ends of an id, such as ``C1…42``; at least six characters are hidden."""
    if len(customer_id) < MIN_ID:
        return HIDDEN
    ends = 2 if len(customer_id) >= LONG_ID else 1
    return f"{customer_id[:ends]}{HIDDEN}{customer_id[-ends:]}"


def name_of(key: int, customer_id: str) -> str:
    """How a customer is named: by the number in the shop, and the ends of the id."""
    ends = mask_id(customer_id)
    return str(key) if ends == HIDDEN else f"{key} · {ends}"


def mask_trait(name: str, value: str) -> str:
    """What is shown of a trait: a shared one, the first letter of an e-mail address, the end of a number."""
    if name in SHARED_TRAITS:
        return mask_text(value)
    if value.count("@") == 1 and " " not in value:
        user, _, domain = value.partition("@")
        return f"{user[:1]}{HIDDEN}@{HIDDEN}" if user and domain else HIDDEN
    if _PHONE.search(name) and sum(character.isdecimal() for character in value) >= _MIN_PHONE_DIGITS:
        return f"{HIDDEN}{value[-2:]}"
    return HIDDEN


def mask_text(text: str) -> str:
    """A few words without digits, such as a country or the name of an event; anything else is hidden."""
    return text if _SHARED_TEXT.fullmatch(text) else HIDDEN


def mask_written(text: str) -> str:
    """The form of a text as it was written in a file: ``x`` for each letter, ``9`` for each digit."""
    return "".join("9" if c.isdecimal() else "x" if c.isalnum() else c for c in text)


def is_personal(feature: Feature | None) -> bool:
    """Whether the values of a feature are hidden: one that the shop declared, by a trait or by SQL.

    One that is not declared any more is hidden, too.
    """
    return feature is None or feature.group.name in (declared.GROUP, own_sql.GROUP)


def mask_feature(feature: Feature | None, value: Any) -> Any:
    """What is shown of the value of a feature."""
    if feature is None or is_personal(feature):
        return None if value is None else HIDDEN
    is_trait = feature.group is profile and isinstance(value, str)
    return mask_text(value) if is_trait else value
