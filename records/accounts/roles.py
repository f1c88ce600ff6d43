"""The roles of accounts, and what each permits."""

from __future__ import annotations

from enum import StrEnum

from core.errors import PatronError


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


def role_of(name: str) -> Role:
    """The role of a name.

    Raises:
        PatronError: there is none; the text lists the roles.
    """
    try:
        return Role(name)
    except ValueError as error:
        raise PatronError(f"there is no role {name[:30]!r}; there are {', '.join(Role)}") from error
