"""The exception whose message is shown to the user: what is wrong, where, and what to do."""

from __future__ import annotations

from typing import Any


class PatronError(Exception):
    """An error that the user can correct.

    Its text is shown as it is, by the command line and by the service, so it names what is
    wrong, where, and what to do about it, and holds no personal data.
    """


class StoreUnavailable(PatronError):
    """A store cannot be reached, refuses the login or hangs; a later attempt may succeed."""


class NothingThere(PatronError):
    """The requested thing does not exist yet; the message names the command that creates it."""


def in_words(error: Exception) -> str:
    """An error as text for a log, a job or a check. Of an unexpected error only the type is given, since its
    message may contain customers' data.
    """
    return str(error) if isinstance(error, PatronError) else f"unexpected {type(error).__name__}"


def meant(error: Any) -> str:
    """The message of a pydantic validation error of a settings file."""
    return {"extra_forbidden": "there is no such setting", "missing": "this is missing"}.get(
        error["type"], str(error["msg"]).removeprefix("Value error, ")
    )
