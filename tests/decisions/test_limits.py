"""Contact limits: calendar and rolling windows, tags as they were, zones and changes of the clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from decisions.policies import limits
from decisions.policies.limits import DEFAULT, Limit, effective, refusal
from decisions.policies.zones import zone_of
from records.contacts import MARKETING, SERVICE, Contact

BERLIN, TOKYO, UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo"), ZoneInfo("UTC")


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def contact(
    text: str,
    channel: str = "email",
    group: str | None = None,
    purpose: str = MARKETING,
    zone: ZoneInfo = BERLIN,
) -> Contact:
    return Contact(text, "mail", group, channel, purpose, "sent", at(text, zone), zone.key)


def permitted(
    limit: Limit, now: datetime, *contacts: Contact, channel: str = "email", zone: ZoneInfo = BERLIN
) -> bool:
    return refusal([limit], channel, None, contacts, now, zone) is None


@pytest.mark.parametrize(
    ("per", "sent", "now", "expected"),
    [
        # The calendar permits what a rolling window of a day refuses.
        ("day", "2026-05-04 23:50", "2026-05-05 00:10", True),
        ("24h", "2026-05-04 23:50", "2026-05-05 00:10", False),
        ("day", "2026-05-04 00:10", "2026-05-04 23:50", False),
        # Exactly 24 hours later is permitted, a microsecond earlier is not.
        ("24h", "2026-05-04 12:00", "2026-05-05 12:00", True),
        ("24h", "2026-05-04 12:00", "2026-05-05 11:59:59.999999", False),
        ("7d", "2026-05-04 12:00", "2026-05-11 12:00", True),
        ("7d", "2026-05-04 12:00", "2026-05-11 11:59:59", False),
        # A day of 23 hours: the same wall time of the next day is 23 hours later.
        ("24h", "2026-03-28 12:00", "2026-03-29 12:00", False),
        ("24h", "2026-03-28 12:00", "2026-03-29 13:00", True),
        ("day", "2026-03-28 23:59", "2026-03-29 00:00", True),
        ("day", "2026-03-29 01:30", "2026-03-29 03:30", False),
        # A day of 25 hours: the next day's wall time of an hour before is 24 hours later.
        ("24h", "2026-10-24 12:00", "2026-10-25 11:00", True),
        ("24h", "2026-10-24 12:00", "2026-10-25 10:59", False),
        ("day", "2026-10-25 00:00", "2026-10-25 23:59", False),
        ("day", "2026-10-25 23:59", "2026-10-26 00:00", True),
        # Weeks begin on Monday, also across the turn of a year.
        ("week", "2026-05-10 23:59", "2026-05-11 00:00", True),
        ("week", "2026-05-04 00:00", "2026-05-10 23:59", False),
        ("week", "2025-12-29 10:00", "2026-01-04 10:00", False),
        ("week", "2026-05-05 10:00", "2025-05-06 10:00", True),
        ("month", "2026-05-31 23:59", "2026-06-01 00:00", True),
        ("month", "2026-05-01 00:00", "2026-05-31 23:59", False),
        ("month", "2025-05-10 10:00", "2026-05-10 10:00", True),
    ],
)
def test_a_window_permits_the_next_contact(per: str, sent: str, now: str, expected: bool) -> None:
    assert permitted(Limit(max=1, per=per), at(now), contact(sent)) is expected


def test_the_repeated_hour_is_two_hours() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in summer time
    sent = Contact("d", "mail", None, "email", MARKETING, "sent", first, "Europe/Berlin")
    again = first + timedelta(hours=1)  # 02:30 in standard time
    assert again.astimezone(BERLIN).hour == first.astimezone(BERLIN).hour == 2
    assert permitted(Limit(max=1, per="1h"), again, sent)
    assert not permitted(Limit(max=1, per="day"), again, sent)


def test_every_limit_must_permit() -> None:
    """A pause of an hour and five a day: three were sent, the last one 20 minutes ago."""
    rules = [Limit(max=5, per="day"), Limit(max=1, per="1h")]
    sent = [contact(f"2026-05-04 {hour}") for hour in ("08:00", "09:30", "10:40")]
    why = refusal(rules, "email", None, sent, at("2026-05-04 11:00"), BERLIN)
    assert why is not None
    assert why.words("en") == "1 contact within 1 hour; at most 1"
    assert why.words("zh") == "1 小时内已联系 1 次（至多 1 次）"
    assert refusal(rules, "email", None, sent, at("2026-05-04 11:40"), BERLIN) is None
    five = [*sent, contact("2026-05-04 12:00"), contact("2026-05-04 13:00")]
    why = refusal(rules, "email", None, five, at("2026-05-04 18:00"), BERLIN)
    assert why is not None
    assert why.words("en") == "5 contacts today; at most 5 a day"
    assert why.words("zh") == "今日已联系 5 次（每日至多 5 次）"


def test_tags_count_as_they_were_when_the_contact_was_decided() -> None:
    """The group of the action was changed between 09:00 and 11:00; the contact of 09:00 still counts."""
    limit = Limit(max=1, per="day", group="promo")
    sent = contact("2026-05-04 09:00", group="promo")
    now = at("2026-05-04 11:00")
    assert refusal([limit], "email", "promo", [sent], now, BERLIN) is not None
    assert refusal([limit], "email", "care", [sent], now, BERLIN) is None
    assert refusal([limit], "email", "promo", [contact("2026-05-04 09:00")], now, BERLIN) is None


def test_a_limit_of_a_channel_counts_that_channel() -> None:
    limit = Limit(max=1, per="week", channel="sms")
    sent, now = contact("2026-05-04 09:00", channel="sms"), at("2026-05-05 09:00")
    why = refusal([limit], "sms", None, [sent], now, BERLIN)
    assert why is not None
    assert why.words("en") == "1 contact this week by sms; at most 1 a week"
    assert why.words("zh") == "本周已通过短信联系 1 次（每周至多 1 次）"
    assert permitted(limit, now, sent, channel="email")
    assert permitted(limit, now, contact("2026-05-04 09:00"), channel="sms")


def test_service_messages_are_not_counted() -> None:
    assert permitted(DEFAULT, at("2026-05-04 11:00"), contact("2026-05-04 09:00", purpose=SERVICE))


def test_a_limit_of_zero_permits_nothing() -> None:
    assert not permitted(Limit(max=0, per="day"), at("2026-05-04 11:00"))


def test_a_customer_who_moves_to_another_zone_gains_no_second_day() -> None:
    sent = contact("2026-05-04 23:50")  # in Berlin; 06:50 of the next day in Tokyo
    for hours, expected in ((0.1, False), (8, False), (23.9, False), (24, True)):
        now = sent.at + timedelta(hours=hours)
        assert permitted(DEFAULT, now, sent, zone=TOKYO) is expected
    assert permitted(DEFAULT, sent.at + timedelta(minutes=20), sent)  # at home the calendar decides
    back = contact("2026-05-05 00:10", zone=TOKYO)  # 17:10 of the day before in Berlin
    assert not permitted(DEFAULT, back.at + timedelta(hours=1), back)


def test_a_reservation_for_tomorrow_counts_tomorrow() -> None:
    planned = contact("2026-05-05 08:00")
    assert permitted(DEFAULT, at("2026-05-04 22:00"), planned)
    assert not permitted(DEFAULT, at("2026-05-05 07:00"), planned)
    assert not permitted(Limit(max=1, per="24h"), at("2026-05-04 22:00"), planned)


def test_without_a_limit_for_a_day_one_contact_a_day_is_permitted() -> None:
    assert effective([]) == (DEFAULT,)
    assert effective([Limit(max=3, per="week")])[0] == DEFAULT
    assert effective([Limit(max=1, per="day", channel="email")])[0] == DEFAULT
    for own in (Limit(max=3, per="day"), Limit(max=2, per="24h")):
        assert effective([own]) == (own,)


@pytest.mark.parametrize("per", ["hour", "0h", "24", "h", "-1d", "24 h", "1w", "DAY", ""])
def test_an_unknown_window_is_refused(per: str) -> None:
    with pytest.raises(ValidationError):
        Limit(max=1, per=per)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("Asia/Tokyo", "Asia/Tokyo"),
        (" Asia/Tokyo ", "Asia/Tokyo"),
        ("", "Europe/Berlin"),
        ("Mars/Base", "Europe/Berlin"),
        ("../etc/passwd", "Europe/Berlin"),
        ("\0", "Europe/Berlin"),
        (None, "Europe/Berlin"),
        (3.0, "Europe/Berlin"),
    ],
)
def test_a_customer_without_a_valid_zone_has_the_zone_of_the_shop(named: object, expected: str) -> None:
    assert zone_of({"trait_timezone": named}, "Europe/Berlin").key == expected
    assert zone_of({}, "Europe/Berlin").key == "Europe/Berlin"


def test_the_length_of_a_rolling_window() -> None:
    assert limits.length("36h") == timedelta(hours=36)
    assert limits.length("30d") == timedelta(days=30)
