"""Channels: how the company reaches a customer, as ``[channels.NAME]`` of ``actions.toml`` declares them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from core.declarations.traits import TraitDeclaration
from decisions.sections import TomlSection, equals

CODE = re.compile(r"[a-z][a-z0-9_]{0,49}")
NO_CHANNEL = "none"
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _code(name: str) -> str:
    if not CODE.fullmatch(name):
        raise ValueError(
            f"{name[:60]!r} is no code; use a-z, 0-9 and _, at most 50, such as birthday_coupon or wechat."
            ' Names for people, in Chinese too, go into text = { en = "…", zh = "…" }'
        )
    return name


def _time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise ValueError(f'{text[:20]!r} is no time of day; write it as in "22:00"')
    return text


Code = Annotated[str, AfterValidator(_code), Field(description="a-z, 0-9 and _, at most 50")]
"""The name of an action, a channel or an audience in files and responses."""
TimeOfDay = Annotated[str, AfterValidator(_time)]


class Channel(TomlSection):
    """A channel.

    Attributes:
        purpose: ``marketing``, or ``service`` for messages that limits of marketing do not count.
        consent: whether a customer must have consented to be contacted for marketing.
        capacity_per_day: the largest number of contacts on a day of the shop; None for no limit.
        quiet_hours: the times of day from which and until which nobody is contacted; the end is not included.
        send_time: ``at_once``, or ``best_hour``: within a day, at the customer's most active hour.
        address: the trait without which a customer cannot be reached, such as ``email``; None if every
            customer can be.
        contacts_as_events: whether contacts become events, which features such as ``contacts_30d`` count.
    """

    purpose: Literal["marketing", "service"] = "marketing"
    consent: Literal["required", "not_needed"] = "not_needed"
    capacity_per_day: int | None = Field(None, ge=0, le=10**9, description="whole contacts, 0 or more")
    quiet_hours: tuple[TimeOfDay, TimeOfDay] | None = Field(
        None, strict=False, description='two times of day, such as ["22:00", "08:00"]'
    )
    send_time: Literal["at_once", "best_hour"] = Field(
        "at_once", exclude_if=equals("at_once"), description='"at_once" or "best_hour"'
    )
    address: str | None = Field(None, min_length=1, max_length=200)
    contacts_as_events: bool = Field(False, exclude_if=equals(False), description="true or false")
    _address_feature: str | None = PrivateAttr(None)

    @property
    def address_feature(self) -> str | None:
        """The feature of ``address``; None without one, or where the shop does not declare the trait."""
        return self._address_feature

    def find_address(self, traits: Sequence[TraitDeclaration]) -> None:
        """Look up :attr:`address_feature` among the traits that the shop declares."""
        self._address_feature = next((t.feature for t in traits if t.trait == self.address), None)
