"""Messages of the Segment specification → the canonical events, or why one cannot be used.

The same message gives the same rows. docs/events.md says what becomes of each message.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from core.calendar import day_and_hour_of, micros
from events.identity import ANONYMOUS
from events.journal import Message, Refused, Rows, partial_id
from events.segment import orders
from events.segment.channels import channel_of
from events.segment.traits import campaign_rows, trait_rows
from events.segment.values import (
    LONGEST_TEXT,
    MAX_UNITS,
    Placeholder,
    Unfit,
    check,
    customer_id,
    happened,
    identifier,
    json_text,
    mapping,
    money,
    pieces,
    signed_units,
    text,
    units,
)
from events.taxonomy import MEANINGS, SUBSCRIPTIONS

# What an event is about, the closest first.
_REFERENCES = (
    "decision_id", "message_id", "email_id", "notification_id", "campaign_id", "campaign", "campaign_name",
    "ticket_id", "complaint_id", "subscription_id", "survey_id", "review_id", "promotion_id", "coupon_id",
    "cart_id", "checkout_id", "order_id", "wishlist_id",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """What a message does not say of the shop: how its days and money count."""

    time_zone: str
    currency: str


class _ParsedMessage(NamedTuple):
    """A message that has been looked at: whose it is, and the moments that each of its rows begins with."""

    message: Mapping[str, Any]
    message_id: str
    user_id: str | None
    anonymous_id: str | None
    head: list[int]
    hour: int
    currency: str


def translate(message: Any, received_at: datetime, place: Place) -> Message | Refused:
    """One message, as a client sent it, with its ``type`` and ``sentAt``; any JSON, without an error."""
    try:
        return _translate(message, received_at, place)
    except Unfit as unfit:
        content = as_it_came(message)
        return Refused(received_at, str(unfit), content, _message_id(message), _digest(message))
    except RecursionError:
        return Refused(received_at, "it is nested too deeply", "null")


def _message_id(message: Any) -> str | None:
    try:
        return identifier(message, "messageId") if isinstance(message, dict) else None
    except Unfit:
        return None


def _digest(message: Any) -> bytes:
    """The digest of a message that tells its retries from another body; empty where it has none."""
    try:
        return check(message) if isinstance(message, dict) else b""
    except (Unfit, RecursionError):
        return b""


def as_it_came(message: Any) -> str:
    """A message as JSON that every database can keep."""
    return json.dumps(message, separators=(",", ":"))


def _translate(message: Any, received_at: datetime, place: Place) -> Message:
    if not isinstance(message, dict):
        raise Unfit("it is not an object")
    content = check(message)
    make = _KINDS.get(str(message.get("type")))
    if make is None:
        raise Unfit(f"type is none of {', '.join(_KINDS)}")
    user_id = customer_id(message, "userId")
    if user_id is not None and user_id.startswith(ANONYMOUS):
        raise Unfit(f"userId begins with {ANONYMOUS}, as only ids of devices do")
    device = _device(message, user_id)
    anonymous_id = None if device is None else ANONYMOUS + device
    owner = user_id or anonymous_id
    if owner is None:
        raise Unfit("there is neither userId nor anonymousId")
    at = happened(message, received_at)
    day, hour = day_and_hour_of(at, place.time_zone)
    head = [micros(at), micros(received_at), day]
    name = identifier(message, "messageId") or _made_id(message, received_at)
    parsed = _ParsedMessage(message, name, user_id, anonymous_id, head, hour, place.currency)
    previous, rows, *doubts = make(parsed)
    doubt = None
    if any(doubts):
        doubt = Refused(received_at, doubts[0], as_it_came(message), partial_id(name))
    joins = anonymous_id if user_id is not None else None
    if previous is not None and previous.startswith(ANONYMOUS):
        joins, previous = previous, None
    if campaign := campaign_rows(parsed.head, message):
        rows = {**rows, "traits": [*rows.get("traits", ()), *campaign]}
    if not all(rows.values()):
        rows = {name: part for name, part in rows.items() if part}
    return Message(name, received_at, owner, joins, rows, previous, content, doubt)


def _device(message: Mapping[str, Any], user_id: str | None) -> str | None:
    """The device's id; a placeholder there does not spoil a message whose customer is known."""
    try:
        return customer_id(message, "anonymousId")
    except Placeholder:
        if user_id is None:
            raise
        return None


def _made_id(message: Mapping[str, Any], received_at: datetime) -> str:
    """What a message without an id is known by: what it says, and its arrival where it says no time."""
    timed = any(message.get(name) for name in ("timestamp", "originalTimestamp"))
    content = json.dumps([message, None if timed else received_at.isoformat()], sort_keys=True)
    return f"made:{hashlib.sha256(content.encode()).hexdigest()}"


Made = tuple[str | None, Rows] | tuple[str | None, Rows, str]
"""The id that an alias gives up, a message's rows, and why a part of it is missing among them."""


def _identify(parsed: _ParsedMessage) -> Made:
    message = parsed.message
    traits = {**mapping(mapping(message, "context"), "traits"), **mapping(message, "traits")}
    return None, {"traits": trait_rows(parsed.head, "", traits)}


def _alias(parsed: _ParsedMessage) -> Made:
    previous = customer_id(parsed.message, "previousId")
    if previous is None or parsed.user_id is None:
        raise Unfit("an alias needs previousId and userId")
    if parsed.anonymous_id == ANONYMOUS + previous:  # a browser's own id, as its library sends it
        previous = parsed.anonymous_id
    return (previous if previous != parsed.user_id else None), {}


def _group(parsed: _ParsedMessage) -> Made:
    group_id = identifier(parsed.message, "groupId")
    if group_id is None:
        raise Unfit("a group needs groupId")
    row = [*parsed.head, "group_id", group_id]
    return None, {"traits": [row, *trait_rows(parsed.head, "group.", mapping(parsed.message, "traits"))]}


def _track(parsed: _ParsedMessage) -> Made:
    name, properties = parsed.message.get("event"), mapping(parsed.message, "properties")
    if not isinstance(name, str) or not name.strip():
        raise Unfit("event, the name of what happened, is missing")
    if len(name) > LONGEST_TEXT:
        raise Unfit(f"event is longer than {LONGEST_TEXT} characters")
    if name in orders.ORDERED:
        order_id = text(properties, "order_id", "checkout_id")
        if name == orders.UPDATED and order_id is None:
            raise Unfit("an update of an order needs order_id")
        order_id = order_id or parsed.message_id
        lines, doubt = orders.order_lines(properties, order_id, parsed.currency)
        rows = orders.with_moments(parsed.head, lines, flag=name == orders.UPDATED)
        about = [parsed.hour, name, None, channel_of(parsed.message, properties)]
        named = orders.named_decision([*parsed.head, *about], properties, order_id)
        return None, {"order_lines": rows} | named, doubt
    if name in orders.GIVEN_BACK:
        lines, doubt = orders.refunds(properties, parsed.currency)
        rows = orders.with_moments(parsed.head, lines, flag=name == orders.CANCELLED)
        return None, {"refunds": rows}, doubt
    return None, _activity(parsed, name, properties, text(properties, "category"))


def _seen(name: str) -> Callable[[_ParsedMessage], Made]:
    """A page or screen: its own name is a property, as is its category, which is no product's."""

    def make(parsed: _ParsedMessage) -> Made:
        own = {
            key: parsed.message[key] for key in ("name", "category") if parsed.message.get(key) is not None
        }
        return None, _activity(parsed, name, {**mapping(parsed.message, "properties"), **own}, None)

    return make


def _activity(parsed: _ParsedMessage, name: str, properties: Mapping[str, Any], category: str | None) -> Rows:
    meaning = MEANINGS.get(name)
    # A renewal has orders and campaigns too, each its own; it is about the subscription alone.
    references = ("subscription_id",) if meaning and meaning.kind in SUBSCRIPTIONS else _REFERENCES
    channel = (meaning and meaning.channel) or channel_of(parsed.message, properties)
    amount = _amount(properties)
    if amount is not None:
        orders.check_currency(properties, parsed.currency)
    row = [
        *parsed.head, parsed.hour, name, meaning and meaning.kind, channel, text(properties, *references),
        text(properties, "product_id", "sku"), category, None if amount is None else money(amount),
        json_text(properties),
    ]  # fmt: skip
    return {"activities": [row]}


def _amount(properties: Mapping[str, Any]) -> int | None:
    """What an event was worth, of either sign; a word there is a property like any other."""
    price = units(properties.get("price"), "price")
    quantity = None if price is None else pieces(properties.get("quantity"), "quantity")
    known = (signed_units(properties.get(name)) for name in ("value", "revenue", "total"))
    amount = next((value for value in known if value is not None), None)
    if amount is None and price is not None and quantity is not None:
        amount = price * quantity
    if amount is not None and abs(amount) > MAX_UNITS:
        raise Unfit("value is too large")
    return amount


_KINDS: dict[str, Callable[[_ParsedMessage], Made]] = {
    "identify": _identify,
    "track": _track,
    "page": _seen("Page Viewed"),
    "screen": _seen("Screen Viewed"),
    "group": _group,
    "alias": _alias,
}
KINDS = tuple(_KINDS)
