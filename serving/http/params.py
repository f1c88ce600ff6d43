"""Parameters and fields shared by the routes of several slices."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, Field, StringConstraints

CustomerId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
# An id may contain slashes: its routes have ``{customer_id:path}`` and the class ``CustomerRoute``.
CustomerIdPath = Annotated[
    CustomerId, Path(description="The customer's id, percent-encoded.", examples=["C000001"])
]

_Filter = Annotated[str, StringConstraints(max_length=200)]
SegmentFilter = Annotated[
    _Filter | Annotated[list[_Filter], Field(min_length=1, max_length=20)] | None,
    Field(
        description="`FEATURE:VALUE` of a text feature, or a list of these, of which all must apply; by"
        " default everybody."
    ),
]


def digest_of(if_match: str | None) -> str | None:
    """The digest in the header ``If-Match``; None without it."""
    return None if if_match is None else if_match.strip().removeprefix("W/").strip('"')


class Words(BaseModel):
    """A text in English and Chinese."""

    en: str
    zh: str
