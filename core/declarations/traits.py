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
        place = f"[traits.{_quoted(self.trait)}]"
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


def parse(sections: Mapping[str, Any], place: str = "home.toml: ") -> tuple[TraitDeclaration, ...]:
    """The declarations in the section ``traits``.

    Args:
        place: the file, for the message.

    Raises:
        PatronError: a declaration is invalid, or two have the same name.
    """
    try:
        declared = tuple(_declaration(trait, section) for trait, section in sections.items())
        _need_different_names(declared)
    except PatronError as error:
        raise PatronError(f"{place}{error}") from error
    return declared


def _declaration(trait: str, section: Any) -> TraitDeclaration:
    if not isinstance(section, dict) or not set(section) <= {"kind", "meaning", "name"}:
        raise PatronError(
            f"[traits.{_quoted(trait)}] takes kind, meaning and name;"
            ' quote a name with dots, as in [traits."address.city"]'
        )
    name = section.get("name")
    feature = feature_name(trait) if name is None else PREFIX + str(name).removeprefix(PREFIX)
    meaning = section.get("meaning") or f"The trait {trait}."
    return TraitDeclaration(trait, section.get("kind", "text"), meaning, feature)


def _need_different_names(declared: Iterable[TraitDeclaration]) -> None:
    by_name: dict[str, str] = {}
    for declaration in declared:
        other = by_name.setdefault(declaration.feature, declaration.trait)
        if other != declaration.trait:
            raise PatronError(
                f"the traits {_quoted(other)} and {_quoted(declaration.trait)} would be features of one name,"
                f" {declaration.feature}; give one of them another name ="
            )


def merge(
    declared: Iterable[TraitDeclaration], added: Iterable[TraitDeclaration]
) -> tuple[TraitDeclaration, ...]:
    """The declarations of a home with those of a mapping; of a trait that both declare, the home's stands.

    Raises:
        PatronError: they contradict each other, or two traits have one name.
    """
    merged = {declaration.trait: declaration for declaration in declared}
    for declaration in added:
        there = merged.setdefault(declaration.trait, declaration)
        if (there.kind, there.feature) != (declaration.kind, declaration.feature):
            raise PatronError(
                f"home.toml declares the trait {_quoted(there.trait)} as {there.feature} ({there.kind}), and"
                f" the mapping as {declaration.feature} ({declaration.kind}); make them the same"
            )
    _need_different_names(merged.values())
    return tuple(merged.values())


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
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # which TOML does not allow
