"""Quiet hours in the customer's zone, also on nights when clocks change."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisions.policies.quiet_hours import QuietHours, is_quiet, next_permitted

BERLIN, TOKYO, UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo"), ZoneInfo("UTC")
NIGHT, LUNCH = ("22:00", "06:00"), ("12:00", "13:00")


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("text", "quiet", "expected"),
    [
        ("2026-05-04 21:59:59", NIGHT, "2026-05-04 21:59:59"),
        ("2026-05-04 22:00", NIGHT, "2026-05-05 06:00"),
        ("2026-05-05 05:59:59", NIGHT, "2026-05-05 06:00"),
        ("2026-05-05 06:00", NIGHT, "2026-05-05 06:00"),
        ("2026-05-05 00:00", NIGHT, "2026-05-05 06:00"),
        ("2026-05-05 12:30", LUNCH, "2026-05-05 13:00"),
        ("2026-05-05 11:59", LUNCH, "2026-05-05 11:59"),
        ("2026-05-05 12:30", ("12:00", "12:00"), "2026-05-05 12:30"),
        ("2026-05-31 23:00", NIGHT, "2026-06-01 06:00"),
        # The night of the change to summer time has 23 hours, the one back has 25.
        ("2026-03-28 23:00", NIGHT, "2026-03-29 06:00"),
        ("2026-10-24 23:00", NIGHT, "2026-10-25 06:00"),
    ],
)
def test_the_end_is_not_quiet_and_the_start_is(text: str, quiet: QuietHours, expected: str) -> None:
    assert next_permitted(at(text), quiet, BERLIN) == at(expected)


def test_an_end_that_clocks_skip_is_the_moment_of_the_change() -> None:
    quiet = ("22:00", "02:30")
    assert next_permitted(at("2026-03-28 23:00"), quiet, BERLIN) == at("2026-03-29 03:00")


def test_an_end_that_comes_twice_is_its_first_time() -> None:
    quiet = ("22:00", "02:30")
    moment = next_permitted(at("2026-10-24 23:00"), quiet, BERLIN)
    assert moment == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in summer time
    assert moment.astimezone(BERLIN).fold == 0


def test_quiet_hours_are_those_of_the_zone() -> None:
    moment = at("2026-05-04 15:00")  # 22:00 in Tokyo
    assert not is_quiet(moment, NIGHT, BERLIN)
    assert is_quiet(moment, NIGHT, TOKYO)
    assert next_permitted(moment, NIGHT, TOKYO) == at("2026-05-05 06:00", TOKYO)


TIME = st.times().map(lambda time: f"{time:%H:%M}")


@given(
    st.sampled_from([datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 10, 23, tzinfo=UTC)]),
    st.integers(0, 4 * 24 * 60),
    st.tuples(TIME, TIME),
    st.sampled_from([BERLIN, TOKYO, UTC]),
)
def test_the_next_permitted_moment_is_never_earlier_nor_more_than_a_night_away(
    start: datetime, minutes: int, quiet: QuietHours, zone: ZoneInfo
) -> None:
    moment = start + timedelta(minutes=minutes)
    planned = next_permitted(moment, quiet, zone)
    assert moment <= planned <= moment + timedelta(hours=25)
    assert (planned == moment) or is_quiet(moment, quiet, zone)
    if planned.astimezone(zone).utcoffset() == moment.astimezone(zone).utcoffset():
        assert not is_quiet(planned, quiet, zone)
