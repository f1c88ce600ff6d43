"""Cursors: the beginning of the next page, as opaque text that clients send back."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from serving.http.problems import Unprocessable

MAX_CURSOR_LENGTH = 4000
CursorText = Annotated[str, Field(max_length=MAX_CURSOR_LENGTH)]
# The same bounds as for imports, so that no sum or time zone leaves the calendar's range.
_Moment = Annotated[
    AwareDatetime, Field(ge=datetime(1900, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 2, tzinfo=UTC))
]


class Cursor(BaseModel):
    """A position in a list. Each route has its own class, so that it refuses the cursor of another."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    def text(self) -> str:
        """The cursor as text in a response."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Self:
        """Read the text that :meth:`text` returned.

        Raises:
            Unprocessable: the text is another.
        """
        try:
            content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return cls.model_validate_json(content)
        except ValueError as error:
            raise Unprocessable(
                "cursor: this is not one that this route returned; leave it out to get the first page"
            ) from error


class CustomersCursor(Cursor):
    """In a list of customers: the key after which the page begins."""

    after_key: int = Field(ge=0, lt=2**63)


class TimelineCursor(Cursor):
    """In a customer's timeline: the event below which the page begins.

    All pages show what was known at ``as_of``, when the first one was read.
    """

    customer_key: int
    as_of: _Moment
    time: _Moment
    kind: str
    id: str
