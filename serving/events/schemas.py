"""What event routes return, and their bodies for OpenAPI, which are read without a model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Taken(BaseModel):
    """What became of events; all of it is durable."""

    success: bool = True
    kept: int = Field(description="Events that count, also those that were sent before.", examples=[98])
    quarantined: int = Field(
        description="Events that cannot be used; `patron quarantine list` says why.", examples=[2]
    )


def _request_body(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The body of a route for OpenAPI."""
    content = {"application/json": {"schema": {"type": "object", **schema}, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


_ORDER = {
    "messageId": "5b1f6f0c-order-1001", "userId": "C000017", "timestamp": "2026-11-25T10:15:00Z",
    "event": "Order Completed",
    "properties": {
        "order_id": "1001", "currency": "EUR",
        "products": [{"product_id": "p12", "category": "tea", "price": "8.50", "quantity": 2}],
    },
}  # fmt: skip
_SEEN = {
    "messageId": "5b1f6f0c-1",
    "anonymousId": "device-7",
    "name": "Teas",
    "properties": {"path": "/teas"},
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "identify": {
        "messageId": "5b1f6f0c-2", "userId": "C000017", "anonymousId": "device-7",
        "traits": {"country": "DE", "address": {"city": "Berlin"}},
    },
    "track": _ORDER, "page": _SEEN, "screen": _SEEN,
    "group": {"messageId": "5b1f6f0c-3", "userId": "C000017", "groupId": "acme", "traits": {"plan": "gold"}},
    "alias": {"messageId": "5b1f6f0c-4", "previousId": "old-id", "userId": "C000017"},
}  # fmt: skip
_EVENT = {
    "properties": {
        **{name: {"type": ["string", "integer", "null"]} for name in ("messageId", "userId", "anonymousId")},
        **{name: {"type": ["string", "null"]} for name in ("timestamp", "sentAt")},
    }
}
_BATCH = {
    "required": ["batch"],
    "properties": {
        "batch": {
            "type": "array",
            "items": {"description": "An event with its `type`; what is none goes to the quarantine."},
        },
        "sentAt": {"description": "When it was sent, by the sender's clock (ISO 8601)."},
    },
}


def event_body(example: dict[str, Any]) -> dict[str, Any]:
    """The body of a route of single events for OpenAPI."""
    return _request_body(_EVENT, example)


def batch_body() -> dict[str, Any]:
    """The body of the route of batches for OpenAPI."""
    example = {"batch": [{"type": "track"} | _ORDER], "sentAt": "2026-11-25T10:15:01Z"}
    return _request_body(_BATCH, example)
