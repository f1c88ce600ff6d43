"""A message as the journal stores it, and one that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Rows = Mapping[str, Sequence[Sequence[Any]]]
"""Per event table its rows: the values of ``SCHEMAS`` but the customer's key, moments in microseconds
since 1970 (UTC), decimals as text. A line of ``Order Updated`` and a refund of ``Order Cancelled`` have one
more value, true."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it will be kept.

    Attributes:
        message_id: what makes it count once.
        customer_id: whose events these are.
        joins: an id that means the same customer from now on, if the message says so; see
            :func:`events.identity.join`, for which it is ``earlier``.
        rows: its events.
        previous: an id that an alias gives up, a device's or one of the company's own; see
            :func:`events.identity.join_previous`.
        content: a digest of the message, without what a retry changes; empty where nobody compares it.
        doubt: the message again, with why a part of it is missing in ``rows``; for the quarantine.
    """

    message_id: str
    received_at: datetime
    customer_id: str
    joins: str | None = None
    rows: Rows = field(default_factory=dict)
    previous: str | None = None
    content: bytes = b""
    doubt: Refused | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that cannot be used.

    Attributes:
        reason: why, without personal data.
        message: as it came, JSON.
        message_id: what makes it count once; None where it has none.
        content: as of :class:`Message`.
    """

    received_at: datetime
    reason: str
    message: str
    message_id: str | None = None
    content: bytes = b""


def partial_id(message_id: str) -> str:
    """The id under which the quarantine has a message of which only a part could be used."""
    return f"part:{message_id}"
