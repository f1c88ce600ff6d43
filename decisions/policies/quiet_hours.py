"""Quiet hours: the times of day at which nobody is contacted, in the customer's time zone.

Quiet hours are [start, end): at 22:00 it is quiet, at 08:00 no longer. They may pass midnight. On nights when
clocks change, an end that clocks skip is the moment of the change; an end that comes twice is its first time.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

QuietHours: TypeAlias = tuple[str, str]
"""Start and end as in ``("22:00", "08:00")``; the same times mean no quiet hours."""


def is_quiet(at: datetime, quiet: QuietHours | None, zone: ZoneInfo) -> bool:
    """Whether a moment is in quiet hours, by the clocks of a zone."""
    if quiet is None:
        return False
    start, end = map(time.fromisoformat, quiet)
    local = at.astimezone(zone).time()
    return start <= local < end if start <= end else local >= start or local < end


def next_permitted(at: datetime, quiet: QuietHours | None, zone: ZoneInfo) -> datetime:
    """The first moment from ``at`` on that is not in quiet hours, in UTC."""
    utc = ZoneInfo("UTC")
    if quiet is None or not is_quiet(at, quiet, zone):
        return at.astimezone(utc)
    end, local = time.fromisoformat(quiet[1]), at.astimezone(zone)
    day = local.date() + timedelta(days=local.time() >= end)
    planned = datetime.combine(day, end, zone).astimezone(utc)
    # In an hour that clocks skip there is no such time: the first real one is that of the change.
    real = planned.astimezone(zone)
    if real.time() != end:
        before = datetime.combine(day, end, zone).replace(fold=1).astimezone(utc)
        planned = _change(min(planned, before), max(planned, before), zone)
    # Clocks that go back can make it quiet again between the end's two times.
    return max(planned, at.astimezone(utc))


def _change(start: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """The first moment in (start, end] with another offset than ``start``; to the minute."""
    offset = start.astimezone(zone).utcoffset()
    moment = start
    while moment < end and moment.astimezone(zone).utcoffset() == offset:
        moment += timedelta(minutes=1)
    return moment
