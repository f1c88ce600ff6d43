"""The time zone of a customer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

TRAIT = "trait_timezone"
"""The feature of the trait ``timezone``, where ``home.toml`` declares it."""


def zone_of(facts: Mapping[str, Any], shop_zone: str) -> ZoneInfo:
    """The time zone that the customer's trait names, such as Asia/Tokyo; else the shop's."""
    named = facts.get(TRAIT)
    zone = _zone(named.strip()) if isinstance(named, str) else None
    return zone or ZoneInfo(shop_zone)


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo | None:
    """The zone of a name; None for an unknown or improper one."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None
