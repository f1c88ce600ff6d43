"""The one exception that speaks to the person: what is wrong, where, what to do."""

from __future__ import annotations


class PatronError(Exception):
    """Something a person can mend.

    Its text is shown as it is, by the command line and by the service, so it names what is
    wrong, where, and what to do about it, and holds no personal data.
    """


class NothingThere(PatronError):
    """What was asked for does not exist yet; the text says which command makes it."""
