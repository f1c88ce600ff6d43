"""Audiences: named rules of ``actions.toml``, which other rules use as ``in audience NAME``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pydantic import Field

from decisions.reasons import Language
from decisions.rules.conditions import RuleField
from decisions.rules.tree import Rule, audiences, with_audiences
from decisions.sections import TomlSection, is_empty


class Audience(TomlSection):
    """A named rule; ``text`` is its name for people, by language."""

    rule: RuleField
    text: dict[Language, str] = Field(default_factory=dict, exclude_if=is_empty)


def resolved(rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """The rules of audiences by name, each with the rules of the audiences that it names.

    Raises:
        ValueError: an audience names one that is not declared, or itself, also through others; the message
            has the cycle.
    """
    done: dict[str, Rule] = {}

    def resolve(name: str, path: tuple[str, ...]) -> Rule:
        if name in path:
            cycle = " → ".join([*path[path.index(name) :], name])
            raise ValueError(f"audience {name} refers to itself: {cycle}; take one of these references out")
        if name not in done:
            check_names(rules[name], rules, f"audience {name}")
            done[name] = with_audiences(rules[name], lambda other: resolve(other, (*path, name)))
        return done[name]

    for name in rules:
        resolve(name, ())
    return done


def check_names(rule: Rule, known: Mapping[str, Rule], place: str) -> None:
    """Raise ValueError if a rule names an audience that is not declared; the message suggests others."""
    for name in audiences(rule):
        if name not in known:
            similar = difflib.get_close_matches(name, known, n=3)
            suggestion = (
                f"did you mean {' or '.join(similar)}?" if similar else f"add a section [audiences.{name}]"
            )
            raise ValueError(f"{place}: rule: there is no audience {name!r}; {suggestion}")
