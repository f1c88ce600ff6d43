"""The home, its clock, and the calendar of the shop's days."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calendar import EPOCH, day_of, midnight, months
from core.errors import NothingThere, PatronError
from core.home import Home
from core.settings import FeatureSettings
from core.shop import Clock, Shop
from features.offline import populations

ZONES = ("UTC", "Europe/London", "Asia/Shanghai", "America/St_Johns", "Africa/Cairo", "Pacific/Apia")


def day(year: int, month: int, day: int) -> int:
    return (date(year, month, day) - EPOCH).days


# Days


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        (datetime(2024, 3, 30, 23, 59, 59, 999_999, tzinfo=UTC), "Europe/London", (2024, 3, 30)),
        (datetime(2024, 3, 31, 22, 59, tzinfo=UTC), "Europe/London", (2024, 3, 31)),
        (datetime(2024, 3, 31, 23, 0, tzinfo=UTC), "Europe/London", (2024, 4, 1)),
        (datetime(2024, 10, 26, 23, 0, tzinfo=UTC), "Europe/London", (2024, 10, 27)),
        (datetime(2024, 10, 27, 23, 59, tzinfo=UTC), "Europe/London", (2024, 10, 27)),
        (datetime(2024, 2, 28, 16, 0, tzinfo=UTC), "Asia/Shanghai", (2024, 2, 29)),
        (datetime(2023, 2, 28, 16, 0, tzinfo=UTC), "Asia/Shanghai", (2023, 3, 1)),
        (datetime(2024, 1, 1, 3, 29, tzinfo=UTC), "America/St_Johns", (2023, 12, 31)),
        (datetime(1969, 12, 31, 23, 0, tzinfo=UTC), "UTC", (1969, 12, 31)),
    ],
)
def test_a_moment_falls_on_the_shops_day(moment: datetime, zone: str, expected: tuple[int, int, int]):
    assert day_of(moment, zone) == day(*expected)
    assert day_of(moment.astimezone(timezone(timedelta(hours=-11))), zone) == day(*expected)


@pytest.mark.parametrize(
    ("local", "zone", "expected"),
    [
        (date(2024, 3, 31), "Europe/London", datetime(2024, 3, 31, 0, tzinfo=UTC)),
        (date(2024, 4, 1), "Europe/London", datetime(2024, 3, 31, 23, tzinfo=UTC)),
        (date(2024, 10, 28), "Europe/London", datetime(2024, 10, 28, 0, tzinfo=UTC)),
        (date(2024, 2, 29), "Asia/Shanghai", datetime(2024, 2, 28, 16, tzinfo=UTC)),
    ],
)
def test_a_day_begins_at_the_shops_midnight(local: date, zone: str, expected: datetime):
    assert midnight(local, zone) == expected
    assert midnight((local - EPOCH).days, zone) == expected


@given(st.integers(day(1990, 1, 1), day(2037, 12, 31)), st.sampled_from(ZONES))
def test_a_day_reaches_from_its_midnight_to_the_next(number: int, zone: str):
    if zone == "Pacific/Apia" and EPOCH + timedelta(days=number) in {date(2011, 12, 29), date(2011, 12, 30)}:
        return  # Apia left out the 30th of December 2011.
    begins, ends = midnight(number, zone), midnight(number + 1, zone)
    assert timedelta(hours=23) <= ends - begins <= timedelta(hours=25)
    assert day_of(begins + timedelta(hours=1), zone) == number
    assert day_of(ends - timedelta(microseconds=1), zone) == number
    assert day_of(ends, zone) == number + 1


def test_months_are_their_firsts_between_two_days_both_included():
    assert months(day(2023, 12, 1), day(2024, 3, 1)) == [
        date(2023, 12, 1), date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)
    ]  # fmt: skip
    assert months(day(2023, 12, 2), day(2024, 2, 29)) == [date(2024, 1, 1), date(2024, 2, 1)]
    assert months(day(2024, 2, 2), day(2024, 2, 29)) == []
    assert months(day(2024, 2, 2), day(2024, 1, 5)) == []


@given(st.dates(date(1990, 1, 1), date(2037, 1, 1)), st.integers(0, 2000))
def test_months_are_every_first_there_is(start: date, days: int):
    first = (start - EPOCH).days
    every = (EPOCH + timedelta(days=n) for n in range(first, first + days + 1))
    assert months(first, first + days) == [d for d in every if d.day == 1]


# The clock


def test_a_frozen_clock_is_constant_and_wall_time_advances():
    moment = datetime(2011, 12, 10, tzinfo=UTC)
    assert Clock(moment).now() == Clock(moment).now() == moment
    before = datetime.now(UTC).replace(microsecond=0)
    now = Clock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.microsecond == 0


@pytest.mark.parametrize(
    "frozen",
    [None, datetime(2011, 12, 10, tzinfo=UTC), datetime(2011, 12, 10, 8, tzinfo=ZoneInfo("Asia/Tokyo"))],
)
def test_a_shops_settings_survive_a_round_trip(tmp_path: Path, frozen: datetime | None):
    home = Home(tmp_path / "new" / "home")
    shop = Shop('a "quoted" \\ source', "Europe/London", "GBP", Clock(frozen))
    home.write_shop(shop)
    result = home.shop()
    assert result == shop
    assert result.clock.frozen_at is None or result.clock.frozen_at.tzinfo is UTC
    assert [path.name for path in home.path.iterdir()] == ["home.toml"]


def test_the_shops_today_is_its_local_day():
    clock = Clock(datetime(2024, 6, 30, 23, 30, tzinfo=UTC))
    assert Shop("s", "UTC", "EUR", clock).today() == day(2024, 6, 30)
    assert Shop("s", "Europe/London", "EUR", clock).today() == day(2024, 7, 1)


def test_writing_replaces_and_a_half_written_draft_is_ignored(tmp_path: Path):
    home = Home(tmp_path)
    home.write_shop(Shop("old", "UTC", "EUR", Clock()))
    home.settings_file.with_suffix(".new").write_text("[shop")
    assert home.shop().source == "old"
    home.write_shop(Shop("new", "UTC", "EUR", Clock()))
    assert home.shop().source == "new"


@pytest.mark.parametrize("zone", ["Europe/Lundon", "", "Europe", "../../etc/passwd", "GMT+25", "a\0b"])
def test_an_unknown_time_zone_is_refused_by_name(tmp_path: Path, zone: str):
    with pytest.raises(PatronError, match="unknown time zone") as caught:
        Shop("s", zone, "EUR", Clock())
    assert repr(zone) in str(caught.value)


def test_a_settings_file_with_an_unknown_time_zone_is_refused(tmp_path: Path):
    home = Home(tmp_path)
    home.settings_file.write_text(GOOD.replace("Europe/London", "Europe/Lundon"))
    with pytest.raises(PatronError, match="unknown time zone 'Europe/Lundon'"):
        home.shop()


GOOD = """[shop]
source = "simulate"
time_zone = "Europe/London"
currency = "GBP"
[clock]
frozen_at = 2011-12-10T00:00:00+00:00
"""


def test_the_undamaged_settings_are_valid(tmp_path: Path):
    home = Home(tmp_path)
    home.settings_file.write_text(GOOD)
    assert home.shop().now() == datetime(2011, 12, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff\xfe\x00",
        GOOD[:40].encode(),
        GOOD.replace("[clock]", "").encode(),
        GOOD.replace("source", "sauce").encode(),
        GOOD.replace("[shop]", "shop = 3\n[sheep]").encode(),
        GOOD.replace('"Europe/London"', "5").encode(),
        GOOD.replace("2011-12-10T00:00:00+00:00", '"2011-12-10"').encode(),
        GOOD.replace("2011-12-10T00:00:00+00:00", "2011-12-10").encode(),
        GOOD.replace("2011-12-10T00:00:00+00:00", "20111210").encode(),
        GOOD.replace("2011-12-10T00:00:00+00:00", "0001-01-01T00:00:00+05:00").encode(),
    ],
)
def test_a_damaged_settings_file_is_named(tmp_path: Path, damaged: bytes):
    home = Home(tmp_path)
    home.settings_file.write_bytes(damaged)
    with pytest.raises(PatronError, match=r"home\.toml cannot be understood"):
        home.shop()


def test_the_error_without_a_shop_says_how_to_create_one(tmp_path: Path):
    with pytest.raises(NothingThere, match="run `patron simulate` or `patron import FILE`"):
        Home(tmp_path / "nowhere").shop()
    assert not (tmp_path / "nowhere").exists()


def test_the_home_is_read_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATRON_HOME", str(tmp_path / "there"))
    assert FeatureSettings().open_home() == Home(tmp_path / "there")
    monkeypatch.delenv("PATRON_HOME")
    monkeypatch.chdir(tmp_path)
    assert FeatureSettings().open_home().path == tmp_path / ".patron"


# The moments of the monthly snapshots


def with_history(tmp_path: Path, first: date, now: datetime) -> Home:
    """A home with only the history's first day and the present."""
    home = Home(tmp_path)
    home.events.mkdir()
    day = (first - EPOCH).days
    record = {
        "source": "s",
        "version": "v000001",
        "before": None,
        "generation": "g",
        "orders": 1,
        "last_day": day,
        "compacted_seq": 0,
        "forgotten_seq": 0,
        "first_day": day,
    }
    (home.events / "import.json").write_text(json.dumps(record))
    home.write_shop(Shop("s", "Europe/London", "GBP", Clock(now)))
    return home


def test_snapshots_begin_after_enough_history_and_end_before_the_present(tmp_path: Path):
    home = with_history(tmp_path, date(2024, 1, 2), datetime(2024, 7, 1, tzinfo=UTC))
    # 90 days after January 2nd is April 1st of a leap year; July 1st began an hour ago.
    expected = [datetime(2024, m, 30 if m != 3 and m != 5 else 31, 23, tzinfo=UTC) for m in (3, 4, 5, 6)]
    assert populations.origins(home) == expected


@pytest.mark.parametrize(
    ("first", "now", "count"),
    [
        (date(2024, 1, 2), datetime(2024, 3, 31, 22, 59, 59, tzinfo=UTC), 0),
        (date(2024, 1, 2), datetime(2024, 3, 31, 23, tzinfo=UTC), 1),
        (date(2024, 1, 3), datetime(2024, 3, 31, 23, tzinfo=UTC), 0),
        (date(2023, 1, 1), datetime(2023, 4, 1, tzinfo=UTC), 1),  # 90 days without a leap day
        (date(2023, 1, 2), datetime(2023, 4, 1, tzinfo=UTC), 0),
        (date(2024, 6, 1), datetime(2024, 5, 1, tzinfo=UTC), 0),  # a clock set before the history
    ],
)
def test_the_first_snapshot_needs_ninety_days(tmp_path: Path, first: date, now: datetime, count: int):
    assert len(populations.origins(with_history(tmp_path, first, now))) == count
