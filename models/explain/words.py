"""Numbers and features as text, derived from a feature's meaning and unit."""

from __future__ import annotations

import re
from typing import Any, Literal

_RANKS = {
    "en": (
        "lower than for {} of {} customers",
        "as for a typical customer",
        "higher than for {} of {} customers",
    ),
    "zh": ("低于 {1} 位客户中的 {0} 位", "与一般客户相当", "高于 {1} 位客户中的 {0} 位"),
}


# From which percentile on a score is in a band, the highest first.
_BANDS = {
    "en": ((90, "very high"), (70, "high"), (30, "medium"), (10, "low"), (0, "very low")),
    "zh": ((90, "很高"), (70, "较高"), (30, "中等"), (10, "较低"), (0, "很低")),
}


def money(amount: float, currency: str) -> str:
    """An amount as text: without decimals from 100 on and at 0, else with two."""
    return f"{amount:,.{money_digits(amount)}f} {currency}".replace("-", "−")


def money_digits(amount: float) -> int:
    """The number of decimals with which an amount is shown."""
    return 2 if 0.005 <= abs(amount) < 99.995 else 0


def rank(percentile: float, language: Literal["en", "zh"] = "en") -> str:
    """A score among those of all customers as text, such as ``higher than for 9 of 10 customers``.

    Args:
        percentile: the share (0 to 100) of customers with at most this score.
    """
    lower, typical, higher = _RANKS[language]
    if 40 <= percentile < 60:
        return typical
    side, share = (higher, percentile) if percentile >= 60 else (lower, 100 - percentile)
    return side.format(99, 100) if share >= 99 else side.format(int(share / 10), 10)


def band(percentile: float, language: Literal["en", "zh"] = "en") -> str:
    """How high a score is among those of all customers, in one word, such as ``very high``.

    Args:
        percentile: the share (0 to 100) of customers with at most this score.
    """
    return next(word for lowest, word in _BANDS[language] if percentile >= lowest)


def counted(count: float, noun: str) -> str:
    """A number and its noun, passed in the plural: ``1 order``, ``2 orders``, ``1.5 days``."""
    digits = f"{count:,.1f}".removesuffix(".0").replace("-", "−")
    return f"{digits} {singular(noun) if digits == '1' else noun}"


def singular(noun: str) -> str:
    """The singular of a plural noun."""
    return f"{noun[:-3]}y" if noun.endswith("ies") else noun.removesuffix("s")


def days_ago(days: int) -> str:
    """How long ago: ``today``, ``1 day ago``, ``84 days ago``."""
    return f"{counted(days, 'days')} ago" if days else "today"


def is_missing(value: Any) -> bool:
    """Whether a feature has no value: null, or not a number."""
    return value is None or value != value


def phrase(meaning: str, unit: str, value: Any, currency: str) -> str:
    """A feature's value as text, such as ``The latest order 84 days ago``.

    Args:
        meaning: the first sentence of the feature's description.
        unit: the feature's unit.
        value: None if missing.
        currency: the shop's currency, for the unit ``currency``.
    """
    what = re.split(r"[;:]|\.$", meaning, maxsplit=1)[0].removeprefix("Whether ")
    what = what[:1].upper() + what[1:]
    if is_missing(value):
        return f"{what} (unknown)"
    if unit == "days" and what.startswith("Days since "):
        since = what.removeprefix("Days since ")
        return f"{since[:1].upper()}{since[1:]} {days_ago(round(value))}"
    start = f"{what[:1].lower()}{what[1:]}"
    if unit == "currency" and start.startswith(("paid ", "money ")):
        return f"{money(value, currency)} {start.removeprefix('money ')}"
    # "Orders placed so far" and "Different products bought so far": a number can stand before them.
    if unit.endswith("s") and unit != "days" and unit in start.split()[:2]:
        number, noun = counted(value, unit).split(" ", 1)
        return f"{number} {start.replace(unit, noun, 1)}"
    return f"{what} ({_value_in_words(value, unit, currency)})"


def _value_in_words(value: Any, unit: str, currency: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit == "currency":
        return money(value, currency)
    if unit == "share":
        return f"{100 * value:.0f}%"
    if unit in ("ratio", "bits"):
        return f"{value:.2f}" + (" bits" if unit == "bits" else "")
    return counted(value, unit)
