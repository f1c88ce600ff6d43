"""Dates of rules: those of a customer that come every year, renewals, and festivals by calendar.

A date of a customer that falls on 29 February counts on 28 February in common years, so it comes once every
year. Festivals by the Chinese calendar are converted by ``lunardate``, for the years 1900 to 2099.
"""

from __future__ import annotations

from calendar import isleap
from collections.abc import Callable, Mapping
from datetime import date, timedelta

from dateutil.easter import easter
from lunardate import LunarDate

from core.calendar import EPOCH, date_of

BIRTHDAY_TRAITS = (
    "trait_birthday", "trait_birthdate", "trait_birth_date", "trait_date_of_birth", "trait_dateofbirth",
)  # fmt: skip
"""The declared traits that are a birthday, in the order of preference."""
ANNIVERSARY, RENEWAL = "anniversary", "renewal"
CUSTOMER_DATES: Mapping[str, str] = {ANNIVERSARY: "tenure_days", RENEWAL: "subscription_days_left"}
"""By date of a customer, the feature from which it follows: the anniversary of the first order; the day on
which a subscription ends or is renewed."""


def _fixed(month: int, day: int) -> Callable[[int], date]:
    return lambda year: date(year, month, day)


def _lunar(month: int, day: int) -> Callable[[int], date]:
    def festival(year: int) -> date:
        converted: date = LunarDate(year, month, day).to_solar_date()
        return converted

    return festival


def _nth(weekday: int, n: int, month: int) -> Callable[[int], date]:
    """The n-th of a day of the week (0 is Monday) of a month."""

    def festival(year: int) -> date:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))

    return festival


def _black_friday(year: int) -> date:
    return _nth(3, 4, 11)(year) + timedelta(days=1)


FESTIVALS: Mapping[str, Callable[[int], date]] = {
    "new_year": _fixed(1, 1),
    "spring_festival": _lunar(1, 1),
    "lantern_festival": _lunar(1, 15),
    "valentines_day": _fixed(2, 14),
    "womens_day": _fixed(3, 8),
    "easter": easter,
    "mothers_day": _nth(6, 2, 5),
    "dragon_boat_festival": _lunar(5, 5),
    "fathers_day": _nth(6, 3, 6),
    "mid_year_sale": _fixed(6, 18),
    "qixi": _lunar(7, 7),
    "mid_autumn_festival": _lunar(8, 15),
    "double_ninth_festival": _lunar(9, 9),
    "national_day_of_china": _fixed(10, 1),
    "halloween": _fixed(10, 31),
    "singles_day": _fixed(11, 11),
    "black_friday": _black_friday,
    "christmas": _fixed(12, 25),
}
"""By name, the day of a festival in a year; for a festival by the Chinese calendar, in the Chinese year that
begins in that year."""
FIRST_YEAR, LAST_YEAR = 1900, 2099


def festival_within(name: str, today: int, days: int) -> bool:
    """Whether a festival is on one of the shop's days from ``today`` to ``today + days``."""
    first, last = date_of(today), date_of(today + days)
    years = range(max(FIRST_YEAR, first.year - 1), min(LAST_YEAR, last.year) + 1)
    return any(first <= FESTIVALS[name](year) <= last for year in years)


def month_days(today: int, days: int) -> frozenset[int]:
    """``month × 100 + day`` of the yearly dates that fall on a day from ``today`` to ``today + days``.

    In a common year 28 February stands for 29 February, too.
    """
    covered = set()
    for day in range(today, today + days + 1):
        current = date_of(day)
        covered.add(current.month * 100 + current.day)
        if (current.month, current.day) == (2, 28) and not isleap(current.year):
            covered.add(229)
    return frozenset(covered)


def month_day(day: int) -> int | None:
    """``month × 100 + day`` of a day counted from 1970-01-01; None if it is out of range."""
    if not MIN_DAY <= day <= MAX_DAY:
        return None
    current = date_of(day)
    return current.month * 100 + current.day


MIN_DAY, MAX_DAY = ((year - EPOCH).days for year in (date(1850, 1, 1), date(2099, 12, 31)))
"""Days that a date of a customer can be; any other is a mistake of the data."""
