"""Requests and responses about timelines, and about the contacts of customers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from events.queries.timeline import KINDS, Kind
from serving.http.cursors import MAX_CURSOR_LENGTH

CONTACT: Literal["contact"] = "contact"
CursorText = Annotated[
    str | None,
    Field(max_length=MAX_CURSOR_LENGTH, description="The page before's `next_cursor`; none for the first."),
]
NextCursor = Annotated[str | None, Field(description="For the next page; null on the last.")]


class Line(BaseModel):
    """One product of an order or a refund."""

    product_id: str | None
    category: str | None
    quantity: int
    amount: float = Field(description="Paid for the line after its discount, or given back.")
    discount: float | None = Field(None, description="Let off; null for a refund.")


class OrderEvent(BaseModel):
    """An order: its time is that of its first line."""

    kind: Literal["order"]
    time: datetime
    order_id: str
    amount: float = Field(description="Paid, after discounts.")
    discount: float
    lines: list[Line]


class RefundEvent(BaseModel):
    """Money given back at one moment for one order."""

    kind: Literal["refund"]
    time: datetime
    order_id: str | None = Field(description="Null where the order was not found.")
    amount: float
    lines: list[Line]


class TraitEvent(BaseModel):
    """Something learnt about the customer."""

    kind: Literal["trait"]
    time: datetime
    name: str
    value: str


class ActivityEvent(BaseModel):
    """Something else that the customer did or that was done to them: a visit, a cart, a message."""

    kind: Literal["activity"]
    time: datetime
    name: str = Field(description="The event's own name, such as `Product Viewed`.")
    activity: str | None = Field(description="What that name means, such as `viewed`; null where unknown.")
    channel: str | None
    reference: str | None = Field(description="What it is about: a message, a cart, a ticket.")
    product_id: str | None
    category: str | None
    amount: float | None
    properties: dict[str, Any] = Field(description="All that the event told.")


class CustomerContact(BaseModel):
    """An action by which the company contacted the customer, or is going to."""

    time: datetime = Field(description="When it was sent, shown or exported; when it is planned.")
    decision_id: str
    action: str
    group: str | None
    channel: str
    purpose: str
    state: Literal["reserved", "exported", "sent", "shown"] = Field(
        description="`reserved`: decided, and not sent yet."
    )
    outcomes: list[str] = Field(description="What was reported about it, such as `clicked`.")


class ContactEvent(CustomerContact):
    """A contact in a timeline."""

    kind: Literal["contact"]


TimelineEvent = Annotated[
    OrderEvent | RefundEvent | TraitEvent | ActivityEvent | ContactEvent, Field(discriminator="kind")
]


class TimelineResponse(BaseModel):
    """A page of a timeline, newest first."""

    customer_id: str
    as_of: datetime = Field(description="What was known then is told, on this page and those after it.")
    currency: str
    events: list[TimelineEvent]
    next_cursor: NextCursor


class TimelineQuery(BaseModel):
    """Which page of a timeline."""

    model_config = ConfigDict(extra="forbid")

    kind: list[Kind | Literal["contact"]] = Field(
        [*KINDS, CONTACT], description="Only events of these kinds; all by default."
    )
    limit: int = Field(50, ge=1, le=200)
    cursor: CursorText = None
