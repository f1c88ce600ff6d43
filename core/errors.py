"""The one exception that speaks to the person: what is wrong, where, what to do."""

from __future__ import annotations

from typing import Any


class PatronError(Exception):
    """Something a person can mend.

    Its text is shown as it is, by the command line and by the service, so it names what is
    wrong, where, and what to do about it, and holds no personal data.
    """


class NothingThere(PatronError):
    """What was asked for does not exist yet; the text says which command makes it."""


def in_words(error: Exception) -> str:
    """What a log, a job or a check says of an error: of an unexpected one its type alone, since its text may
    contain customers' data."""
    return str(error) if isinstance(error, PatronError) else f"unexpected {type(error).__name__}"


def meant(error: Any) -> str:
    """One of pydantic's errors about a settings file, in words."""
    return {"extra_forbidden": "there is no such setting", "missing": "this is missing"}.get(
        error["type"], str(error["msg"]).removeprefix("Value error, ")
    )
