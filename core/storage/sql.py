"""Quoting of texts and names in generated SQL, and URLs of databases."""

from __future__ import annotations

import re


def with_driver(url: str) -> str:
    """The URL for SQLAlchemy; PostgreSQL is reached with psycopg unless the URL names another driver."""
    return re.sub("^postgres(ql)?://", "postgresql+psycopg://", url)


def literal(value: object) -> str:
    """A value as an SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def name(text: str) -> str:
    """A quoted SQL identifier."""
    return '"' + text.replace('"', '""') + '"'


def not_below_zero(number: str) -> str:
    """A number with a minimum of 0 as SQL; null stays null, unlike in ``greatest(0, ...)``."""
    return f"CASE WHEN {number} < 0 THEN 0 ELSE {number} END"
