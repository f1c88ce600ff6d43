"""Parameters shared by the routes of several slices."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import StringConstraints

CustomerId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
# An id may contain slashes: its routes have ``{customer_id:path}`` and the class ``CustomerRoute``.
CustomerIdPath = Annotated[
    CustomerId, Path(description="The customer's id, percent-encoded.", examples=["C000001"])
]
