"""A warning about an imported file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that was read without an error and is probably not what was meant.

    Attributes:
        code: what it is about, as one word; the key of ``warnings`` in JSON.
        count: how many rows, ids or numbers it is about.
        text: what the file contains, and what to do. Names no customer.
    """

    code: str
    count: int
    text: str
