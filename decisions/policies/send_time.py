"""When an action is sent: at once, or at the customer's best hour within a day.

The best hour is that with the highest share of the customer's activity, of the present hour and those that
begin within the next 24 hours, outside quiet hours, by the clocks of the customer's time zone. Of equals it
is the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from decisions.catalogue.actions import Action
from decisions.catalogue.channels import Channel
from decisions.context import CustomerContext
from decisions.policies.quiet_hours import QuietHours, is_quiet, next_permitted

BEST_HOUR = "best_hour"
_HOURS = 24


def best_time(at: datetime, shares: Sequence[float], quiet: QuietHours | None, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which a message is best sent.

    Args:
        at: the moment of the decision.
        shares: of activity in each hour of the day.
    """
    permitted = [moment for moment in _candidates(at, zone) if not is_quiet(moment, quiet, zone)]
    if not permitted:  # quiet hours may begin and end within an hour
        return next_permitted(at, quiet, zone)
    return max(permitted, key=lambda moment: shares[moment.astimezone(zone).hour])


def _candidates(at: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The moment itself, and the full hours of the next 24 hours, by the clocks of a zone."""
    at = at.astimezone(UTC)
    yield at
    local = at.astimezone(zone)
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    for hours in range(1, _HOURS + 1):
        moment = at - past + timedelta(hours=hours)
        if moment < at + timedelta(hours=_HOURS):
            yield moment


def planned_at(action: Action, channel: Channel, customer: CustomerContext) -> datetime:
    """The moment (UTC) at which an action would be sent to a customer; ``customer.at`` must be known.

    After the last day of the action, its first permitted moment is kept.
    """
    assert customer.at is not None
    best = customer.best_times.get(action.channel)
    if best is None or (action.end is not None and best.astimezone(customer.zone).date() > action.end):
        return next_permitted(customer.at, channel.quiet_hours, customer.zone)
    return best
