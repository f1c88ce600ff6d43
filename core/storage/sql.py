"""Quoting of texts and names in generated SQL."""

from __future__ import annotations


def literal(value: object) -> str:
    """A value as an SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def name(text: str) -> str:
    """A quoted SQL identifier."""
    return '"' + text.replace('"', '""') + '"'


def not_below_zero(number: str) -> str:
    """A number with a minimum of 0 as SQL; null stays null, unlike in ``greatest(0, ...)``."""
    return f"CASE WHEN {number} < 0 THEN 0 ELSE {number} END"
