"""Contact limits: how often a customer may be contacted, and by which channel or group of actions.

A limit counts the customer's contacts and valid reservations of one window, with the tags of their actions
as they were when they were decided. Every limit must permit an action. Service messages are neither counted
nor limited.

**Calendar windows** (``day``, ``week`` from Monday, ``month``) are those of the customer's time zone. For a
customer whose zone has changed since a contact, the contact also counts if it is in the window by its own
zone, or less than 24 hours away, so a move gains no second day.

**Rolling windows** (``24h``, ``7d``) have a length in hours of real time, whatever clocks show. A contact
counts if it is less than that away; exactly 24 hours later the next one is permitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from decisions.names.channels import channel_in_chinese, group_in_chinese
from decisions.reasons import DecisionReason, reason
from decisions.sections import TomlSection
from records.contacts.contact import SERVICE, Contact

ONE_DAY = timedelta(hours=24)
Per = Annotated[
    str,
    Field(
        pattern=r"^(day|week|month|[1-9][0-9]{0,3}[hd])$",
        description='"day", "week" or "month", or hours or days as in "24h" and "7d"',
    ),
]


class Limit(TomlSection):
    """The maximum number of contacts of a customer in a window.

    Attributes:
        max: contacts; 0 permits none.
        per: the window.
        channel, group: of the actions that are counted and limited; None for all.
    """

    max: int = Field(ge=0, le=1000, description="contacts, from 0 to 1000")
    per: Per
    channel: str | None = None
    group: str | None = None

    def concerns(self, channel: str, group: str | None) -> bool:
        """Whether actions of this channel and group are counted and limited."""
        return self.channel in (None, channel) and self.group in (None, group)

    def count(self, contacts: Iterable[Contact], at: datetime, zone: ZoneInfo) -> int:
        """The contacts in the window of ``at``.

        Args:
            at: the moment at which another contact is planned.
            zone: the customer's time zone.
        """
        return sum(
            contact.purpose != SERVICE
            and self.concerns(contact.channel, contact.group)
            and in_window(self.per, contact, at, zone)
            for contact in contacts
        )


DEFAULT = Limit(max=1, per="day")
"""The limit over all channels of a shop that declares none for a day."""


def effective(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """The declared limits, with :data:`DEFAULT` unless one of them limits all contacts of a day."""
    declared = tuple(limits)
    daily = any(x.per in ("day", "24h", "1d") and x.channel is None and x.group is None for x in declared)
    return declared if daily else (DEFAULT, *declared)


def refusal(
    limits: Iterable[Limit],
    channel: str,
    group: str | None,
    contacts: Iterable[Contact],
    at: datetime,
    zone: ZoneInfo,
) -> DecisionReason | None:
    """Why no limit permits another contact; None if all do.

    Args:
        channel, group: of the action.
        contacts: of the customer, with valid reservations.
        at: the moment at which it would be sent. zone: the customer's time zone.
    """
    contacts = list(contacts)
    for limit in limits:
        if limit.concerns(channel, group):
            count = limit.count(contacts, at, zone)
            if count >= limit.max:
                return _reason(limit, count)
    return None


def in_window(per: str, contact: Contact, at: datetime, zone: ZoneInfo) -> bool:
    """Whether a contact is in the window of ``at``."""
    apart = abs(at - contact.at)
    same = _SAME.get(per)
    if same is None:
        return apart < length(per)
    if same(at.astimezone(zone).date(), contact.at.astimezone(zone).date()):
        return True
    if contact.zone in (None, zone.key):
        return False
    earlier = ZoneInfo(contact.zone)
    return apart < ONE_DAY or same(at.astimezone(earlier).date(), contact.at.astimezone(earlier).date())


def length(per: str) -> timedelta:
    """The length of a rolling window."""
    return timedelta(**{"hours" if per[-1] == "h" else "days": int(per[:-1])})


_SAME: Mapping[str, Callable[[date, date], bool]] = {
    "day": lambda a, b: a == b,
    "week": lambda a, b: a.isocalendar()[:2] == b.isocalendar()[:2],
    "month": lambda a, b: (a.year, a.month) == (b.year, b.month),
}
"""Whether two dates are in the same calendar window."""


def _reason(limit: Limit, count: int) -> DecisionReason:
    channel, group = limit.channel, limit.group
    english = f" by {channel}" if channel else ""
    chinese = f"通过{channel_in_chinese(channel)}" if channel else ""
    if group:
        english = f"{english} with actions of the group {group}"
        chinese = f"{chinese}就“{group_in_chinese(group)}”类动作"
    values = {
        "contacts": {"en": f"{count} contact{'s' * (count != 1)}", "zh": f"{count} 次"},
        "scope": {"en": english, "zh": chinese},
        "limit": limit.max,
    }
    if limit.per in _SAME:
        return reason(f"limit_{limit.per}", **values)
    number, hours = int(limit.per[:-1]), limit.per[-1] == "h"
    unit = ("hour" if hours else "day") + "s" * (number != 1)
    length = {"en": f"{number} {unit}", "zh": f"{number} {'小时' if hours else '天'}"}
    return reason("limit_rolling", length=length, **values)
