"""Values of Segment messages: texts, moments and amounts of money, or why one cannot be used.

Amounts are counted in units of 1/10,000 of the currency, as whole numbers, so that dividing them is exact.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import accumulate, pairwise
from typing import Any

from events.identity.customer_ids import fold, has_control_character, is_placeholder
from events.segment import compact_json

LARGEST_EVENT_BYTES = 32 * 1024
LONGEST_ID = 200  # characters; as long as an id that scores can be asked for
LONGEST_TEXT = 1000
MAX_UNITS = 10**18 - 1  # what decimal(18, 4) holds
MAX_PIECES = 10**9
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # before it no client can have been
AHEAD = timedelta(days=1)
DIGEST_BYTES = 8
CHANGED_BY_RETRIES = frozenset({"sentAt", "receivedAt", "writeKey", "_metadata"})
"""What clients and relays set anew each time that they send a message."""
_NUMBER = re.compile(r"\s*[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?\s*", re.ASCII)
_SCALE = 10_000


class Unfit(Exception):
    """A message cannot be used; the text says why and holds nothing of what was told."""


class Placeholder(Unfit):
    """An id is the text of a program that had no id."""


def check(message: Mapping[str, Any]) -> bytes:
    """See that a message is not too large, and holds nothing that cannot be kept everywhere.

    Returns:
        A digest of what a retry leaves as it is.

    Raises:
        Unfit: it is, or does.
    """
    changed: dict[str, Any] = {}
    lasting = message
    if not CHANGED_BY_RETRIES.isdisjoint(message):
        changed = {name: message[name] for name in CHANGED_BY_RETRIES if name in message}
        lasting = {k: v for k, v in message.items() if k not in changed}
    try:
        encoded = compact_json.encode(lasting)
        rest = compact_json.encode(changed) if changed else b""
    except UnicodeError:
        raise Unfit("it holds text that is not Unicode") from None
    except ValueError:
        raise Unfit("it holds a number that is not finite") from None
    # As one object, both have a comma in place of two braces.
    if len(encoded) + len(rest) - bool(rest) > LARGEST_EVENT_BYTES:
        raise Unfit(f"it is larger than {LARGEST_EVENT_BYTES // 1024} KB")
    if b"\\u0000" in encoded or b"\\u0000" in rest:
        raise Unfit("it holds the character NUL")
    return hashlib.blake2b(encoded, digest_size=DIGEST_BYTES).digest()


def json_text(value: Any) -> str:
    """A value of a message that was checked, as compact JSON."""
    return compact_json.encode(value).decode()


def scalar(value: Any) -> str | None:
    """A word, number or truth value as text; None for anything else and for nothing."""
    if isinstance(value, str):
        return value or None
    if value is None or isinstance(value, (dict, list)):
        return None
    return json.dumps(value)


def text(properties: Mapping[str, Any], *names: str) -> str | None:
    """The first of some properties that says something.

    Raises:
        Unfit: it is too long.
    """
    for name in names:
        if name in properties and (value := scalar(properties[name])) is not None:
            if len(value) > LONGEST_TEXT:
                raise Unfit(f"{name} is longer than {LONGEST_TEXT} characters")
            return value
    return None


def identifier(message: Mapping[str, Any], name: str) -> str | None:
    """An id as text; None where there is none.

    Raises:
        Unfit: it is neither text nor a whole number, or too long.
    """
    value = message.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise Unfit(f"{name} is neither text nor a whole number")
    value = str(value)
    if len(value) > LONGEST_ID:
        raise Unfit(f"{name} is longer than {LONGEST_ID} characters")
    return value


def customer_id(message: Mapping[str, Any], name: str) -> str | None:
    """The id of a customer or device in its one spelling; None where there is none, or a blank one.

    Raises:
        Placeholder: it stands for nobody.
        Unfit: it is no id.
    """
    value = identifier(message, name)
    if value is None or not (value := fold(value)):
        return None
    if has_control_character(value):
        raise Unfit(f"{name} contains a control character")
    if is_placeholder(value):
        raise Placeholder(f"{name} is a placeholder, such as null or undefined, and no id")
    return value


def mapping(properties: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object that belongs to another; empty where there is none.

    Raises:
        Unfit: it is something else.
    """
    value = properties.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unfit(f"{name} is not an object")
    return value


def happened(message: Mapping[str, Any], received_at: datetime) -> datetime:
    """When an event happened by the company's clock, at most when it was received.

    A client's clock may be wrong; how wrong, ``sentAt`` tells. Where a message has both ``timestamp`` and
    ``originalTimestamp``, whoever passed it on has corrected ``timestamp`` already.

    Raises:
        Unfit: a moment cannot be read, or none such can be meant.
    """
    timestamp, original = _moment(message, "timestamp"), _moment(message, "originalTimestamp")
    stated, sent = timestamp or original, _moment(message, "sentAt")
    if stated is None:
        return received_at
    if sent is not None and not (timestamp and original):
        try:
            stated = received_at - (sent - stated)
        except OverflowError:
            raise Unfit("timestamp and sentAt are too far apart") from None
    if stated < EARLIEST:
        raise Unfit(f"timestamp is before {EARLIEST.year}")
    if stated > received_at + AHEAD:
        raise Unfit("timestamp is more than a day in the future")
    return min(stated, received_at)


def _moment(message: Mapping[str, Any], name: str) -> datetime | None:
    value = message.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        raise Unfit(f"{name} is not a moment in ISO 8601") from None


def units(value: Any, name: str) -> int | None:
    """An amount of money of 0 or more; None where there is none.

    Raises:
        Unfit: it is not such an amount.
    """
    amount = signed_units(value)
    if amount is None and value is not None and value != "":
        raise Unfit(f"{name} is not a number")
    if amount is not None and amount < 0:
        raise Unfit(f"{name} is negative")
    if amount is not None and amount > MAX_UNITS:
        raise Unfit(f"{name} is too large")
    return amount


def signed_units(value: Any) -> int | None:
    """An amount of money, of whatever size; None where the value is no number."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value * _SCALE
    if isinstance(value, float):
        number = Decimal(repr(value))  # the shortest text of a number is what was written
    elif isinstance(value, str) and _NUMBER.fullmatch(value):
        number = Decimal(value.strip())
    else:
        return None
    return int((number * _SCALE).to_integral_value(ROUND_HALF_EVEN)) if math.isfinite(number) else None


def money(amount: int) -> str:
    """An amount as the journal keeps it."""
    whole, part = divmod(abs(amount), _SCALE)
    return f"{'-' if amount < 0 else ''}{whole}.{part:04d}"


def pieces(value: Any, name: str) -> int:
    """How many pieces; 1 where nothing is said.

    Raises:
        Unfit: it is not a whole number of 1 or more.
    """
    if value is None or value == "":
        return 1
    amount = signed_units(value)
    if amount is None or amount % _SCALE or not 0 < amount <= MAX_PIECES * _SCALE:
        raise Unfit(f"{name} is not a whole number from 1 to {MAX_PIECES}")
    return amount // _SCALE


def shares(amount: int, weights: list[int]) -> list[int]:
    """An amount divided in proportion to weights: together exactly that amount.

    No share is larger than its weight where the amount is not larger than all weights together.
    """
    total = max(1, sum(weights))  # where all are 0, so is every share
    upto = [amount * reached // total for reached in accumulate(weights, initial=0)]
    return [after - before for before, after in pairwise(upto)]
