"""The roles of accounts, and what each permits."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A role; ``scopes`` are those of API keys, see :class:`serving.access.scopes.Scope`."""

    scopes: frozenset[str]

    def __new__(cls, value: str, *scopes: str) -> Role:
        """The role's name, with its scopes."""
        role = str.__new__(cls, value)
        role._value_ = value
        role.scopes = frozenset(scopes)
        return role

    VIEWER = "viewer", "segments"
    MARKETER = "marketer", "segments", "customers", "scores", "decisions", "actions", "outcomes"
    SCIENTIST = "scientist", "segments", "scores", "operations"
    OPERATOR = "operator", "segments", "operations", "events"
    ADMIN = "admin", "all"
