"""Texts and names inside SQL that this program writes itself."""

from __future__ import annotations


def literal(value: object) -> str:
    """A value's text (a path, say) as an SQL string, in quotes."""
    return "'" + str(value).replace("'", "''") + "'"


def name(text: str) -> str:
    """A name (of a column, say) in quotes."""
    return '"' + text.replace('"', '""') + '"'


def not_below_zero(number: str) -> str:
    """A number, 0 where it is below; null stays null, as it does not in ``greatest(0, ...)``."""
    return f"CASE WHEN {number} < 0 THEN 0 ELSE {number} END"
