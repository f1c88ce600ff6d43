"""Writes a rule as one line of text: the canonical form, which :mod:`decisions.rules.text` reads back."""

from __future__ import annotations

import json
import re

from decisions.rules.tokens import KEYWORDS
from decisions.rules.tree import All, AnyOf, DateWithin, InAudience, Known, Not, Rule, Scalar, TermComparison

_WORD = re.compile(r"[^\W\d]\w*")
_OR, _AND, _PART = range(3)
"""How strongly the parts of a text are bound."""


def text_of(rule: Rule) -> str:
    """The rule as one line of text; the empty text for everybody."""
    return "" if rule == All(()) else _text(rule, _OR)


def _text(rule: Rule, binding: int) -> str:
    match rule:
        case AnyOf(parts):
            return _joined("or", [_text(part, _AND) for part in parts], binding > _OR)
        case All(parts):
            return _joined("and", [_text(part, _PART) for part in parts], binding > _AND)
        case Not(TermComparison(term, "in", values)) if term.dtype != "boolean":
            return _test(term.name, "!=", "not in", values)
        case Not(Known(term)):
            return f"{term.name} is not known"
        case Not(TermComparison(term, ">", (0,))) if term.dtype == "int64":
            return f"not {term.name}"
        case Not(part):
            return f"not {_text(part, _PART)}"
        case Known(term):
            return f"{term.name} is known"
        case InAudience(name):
            return f"in audience {name}"
        case DateWithin(date, days):
            return f"{date} within {days} days"
        case TermComparison(term, "in", values):
            return term.name if term.dtype == "boolean" else _test(term.name, "=", "in", values)
        case TermComparison(term, operator, values):
            return f"{term.name} {operator} {_value(values[0])}"
    raise AssertionError(rule)


def _joined(word: str, parts: list[str], inside: bool) -> str:
    text = f" {word} ".join(parts)
    return f"({text})" if inside else text


def _test(name: str, one: str, several: str, values: tuple[Scalar, ...]) -> str:
    """The test with the sign for one value, or for several."""
    if len(values) == 1:
        return f"{name} {one} {_value(values[0])}"
    return f"{name} {several} ({', '.join(map(_value, values))})"


def _value(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        plain = _WORD.fullmatch(value) and value.lower() not in KEYWORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    return repr(value)
