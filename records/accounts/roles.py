"""The roles of accounts: what each permits, and how much of customers' personal data it shows."""

from __future__ import annotations

from enum import StrEnum

from core.errors import PatronError


class PersonalData(StrEnum):
    """How a role sees the ids and traits of customers."""

    IN_FULL = "in full"
    MASKED = "masked"
    NONE = "no customers"


class Role(StrEnum):
    """A role.

    Attributes:
        personal_data: how it sees customers; with ``NONE`` it lacks the scope ``customers``.
        scopes: those of API keys, see :class:`serving.access.scopes.Scope`.
    """

    personal_data: PersonalData
    scopes: frozenset[str]

    def __new__(cls, value: str, personal_data: PersonalData = PersonalData.NONE, scopes: str = "") -> Role:
        """The role's name, with how it sees customers and its scopes, separated by blanks."""
        role = str.__new__(cls, value)
        role._value_ = value
        role.personal_data = personal_data
        role.scopes = frozenset(scopes.split())
        return role

    VIEWER = "viewer", PersonalData.NONE, "segments"
    MARKETER = "marketer", PersonalData.IN_FULL, "segments customers scores decisions actions outcomes"
    SCIENTIST = "scientist", PersonalData.MASKED, "segments customers scores operations"
    OPERATOR = "operator", PersonalData.MASKED, "segments customers operations events"
    ADMIN = "admin", PersonalData.IN_FULL, "all"


def role_of(name: str) -> Role:
    """The role of a name.

    Raises:
        PatronError: there is none; the text lists the roles.
    """
    try:
        return Role(name)
    except ValueError as error:
        raise PatronError(f"there is no role {name[:30]!r}; there are {', '.join(Role)}") from error
