"""The traits of customers that ``home.toml`` declares as features."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import PatronError

KINDS = ("number", "text", "flag", "day")
PREFIX = "trait_"
_FEATURE = re.compile("[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class TraitDeclaration:
    """A trait that is a feature.

    Attributes:
        trait: the trait's name, such as ``address.city``.
        kind: one of ``KINDS``.
        meaning: a sentence about what the trait says of a customer.
        feature: the name of the feature; it begins with ``PREFIX``.
    """

    trait: str
    kind: str
    meaning: str
    feature: str

    def __post_init__(self) -> None:
        place = f"home.toml: [traits.{json.dumps(self.trait, ensure_ascii=False)}]"
        if self.kind not in KINDS:
            raise PatronError(f"{place}: kind is {self.kind!r}; use one of {', '.join(KINDS)}")
        if not isinstance(self.meaning, str):
            raise PatronError(f"{place}: meaning must be a text")
        if not _FEATURE.fullmatch(self.feature):
            raise PatronError(
                f"{place}: {self.feature!r} is not a valid feature name; add name = with lower-case letters,"
                " digits and underscores"
            )


def feature_name(trait: str) -> str:
    """The name of a trait's feature: ``address.postalCode`` becomes ``trait_address_postal_code``."""
    snake = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", trait)
    return PREFIX + re.sub(r"[^\w]+", "_", snake).strip("_").lower()


def parse(sections: Mapping[str, Any]) -> tuple[TraitDeclaration, ...]:
    """The declarations in the section ``traits``.

    Raises:
        PatronError: a declaration is invalid, or two have the same name.
    """
    declared = []
    for trait, section in sections.items():
        if not isinstance(section, dict) or not set(section) <= {"kind", "meaning", "name"}:
            raise PatronError(
                f"home.toml: [traits.{json.dumps(trait)}] takes kind, meaning and name;"
                ' quote a name with dots, as in [traits."address.city"]'
            )
        name = section.get("name")
        feature = feature_name(trait) if name is None else PREFIX + str(name).removeprefix(PREFIX)
        meaning = section.get("meaning") or f"The trait {trait}."
        declared.append(TraitDeclaration(trait, section.get("kind", "text"), meaning, feature))
    if len({declaration.feature for declaration in declared}) < len(declared):
        raise PatronError("two traits would be features of one name; give one of them another name =")
    return tuple(declared)


def render(declared: Iterable[TraitDeclaration]) -> str:
    """The declarations as TOML."""
    lines = []
    for each in declared:
        lines += [
            f"\n[traits.{_quoted(each.trait)}]",
            f"kind = {_quoted(each.kind)}",
            f"meaning = {_quoted(each.meaning)}",
        ]
        if each.feature != feature_name(each.trait):
            lines.append(f"name = {_quoted(each.feature.removeprefix(PREFIX))}")
    return "\n".join(lines) + "\n" if lines else ""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
