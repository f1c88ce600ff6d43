"""What the quarantine holds at most: by number, by size and by age."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from core.home import Home
from core.settings import FeatureSettings
from core.shop import Clock, Shop
from core.storage.database import Database
from events import journal
from events.journal import Refused
from events.segment import quarantine, retention
from events.segment.retention import Pruned, QuarantineLimits, QuarantineSize, prune, size
from serving.events import retention as keeping
from serving.events.intake import Intake
from serving.operations import checks

NOW = datetime(2024, 5, 4, 22, 30, tzinfo=UTC)
AGE = timedelta(days=90)
WIDE = QuarantineLimits(1_000, 1_000_000, AGE)


def refuse(home: Home, *at: datetime, size: int = 10) -> list[Refused]:
    """Messages of so many bytes in the quarantine, received at these moments."""
    refused = [Refused(moment, "why", '"' + "x" * (size - 2) + '"') for moment in at]
    journal.append(Database(home), [], refused, compacted_seq=0)
    return refused


def received(home: Home) -> list[datetime]:
    """When what the quarantine holds was received, the newest first."""
    return [entry.received_at for entry in quarantine.entries(Database(home), 10_000)]


def seconds(count: int) -> list[datetime]:
    return [NOW - timedelta(seconds=count - i) for i in range(count)]


def test_what_is_too_old_is_deleted(empty_home: Home) -> None:
    database, old = Database(empty_home), NOW - AGE - timedelta(seconds=1)
    refuse(empty_home, old, NOW - AGE, NOW)
    assert prune(database, WIDE, NOW) == Pruned(expired=1, surplus=0)
    assert received(empty_home) == [NOW, NOW - AGE]
    assert prune(database, WIDE, NOW) == Pruned(0, 0)


@pytest.mark.parametrize(
    "limits", [QuarantineLimits(100, 1_000_000, AGE), QuarantineLimits(10_000, 100 * 40, AGE)]
)
def test_where_there_are_too_many_the_oldest_go_until_there_is_room(
    limits: QuarantineLimits, empty_home: Home
) -> None:
    database, moments = Database(empty_home), seconds(101)
    refuse(empty_home, *moments[:100], size=40)
    assert size(database) == QuarantineSize(100, 4_000, moments[0])
    assert prune(database, limits, NOW) == Pruned(0, 0)
    refuse(empty_home, moments[100], size=40)
    assert prune(database, limits, NOW) == Pruned(0, 11)
    assert received(empty_home) == moments[:10:-1]


def test_one_message_larger_than_the_limit_does_not_stay(empty_home: Home) -> None:
    refuse(empty_home, NOW, size=2_000)
    assert prune(Database(empty_home), QuarantineLimits(10, 1_000, AGE), NOW) == Pruned(0, 1)
    assert size(Database(empty_home)) == QuarantineSize(0, 0, None)


def test_without_a_database_there_is_nothing_and_none_is_made(empty_home: Home) -> None:
    assert size(Database(empty_home)).oldest is None
    assert prune(Database(empty_home), WIDE, NOW) == Pruned(0, 0)
    assert not empty_home.database_file.exists()


def test_a_flood_of_events_that_cannot_be_used_stays_within_the_limit(
    empty_home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO, keeping.__name__),
        closing(Intake(empty_home, QuarantineLimits(200, 1_000_000, AGE))) as intake,
    ):
        for n in range(50):
            intake.store([], [Refused(datetime.now(UTC), f"why {n}", "{}")] * 10).result(60)
            assert size(Database(empty_home)).events <= 200 + 10
    assert quarantine.entries(Database(empty_home), 1)[0].reason == "why 49"
    assert set(caplog.messages) == {"30 events of the quarantine, the oldest, were deleted: it was full"}


def test_the_start_of_the_service_deletes_what_is_too_old(
    empty_home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    refuse(empty_home, NOW)
    with (
        caplog.at_level(logging.INFO, keeping.__name__),
        closing(Intake(empty_home, QuarantineLimits(10, 1_000, AGE))) as intake,
    ):
        intake.start()
        assert received(empty_home) == []
    assert caplog.messages == ["1 events of the quarantine were deleted: older than 90 days"]


def test_the_quarantine_is_looked_at_hourly_without_events(
    empty_home: Home, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], bool]], None]
) -> None:
    monkeypatch.setattr(keeping, "INTERVAL_SECONDS", 0.05)
    with closing(Intake(empty_home, WIDE)) as intake:
        intake.start()
        refuse(empty_home, NOW)
        until(lambda: received(empty_home) == [])


def test_events_are_stored_also_where_the_quarantine_cannot_be_pruned(
    empty_home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> Pruned:
        raise ValueError("C000017")

    monkeypatch.setattr(keeping, "prune", fail)
    with closing(Intake(empty_home, QuarantineLimits(1, 1, AGE))) as intake:
        for _ in range(3):
            intake.store([], [Refused(NOW, "why", "{}")]).result(60)
    assert size(Database(empty_home)).events == 3
    assert set(caplog.messages) == {"the quarantine could not be pruned: unexpected ValueError"}


def test_the_limits_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert QuarantineLimits.of(FeatureSettings()) == QuarantineLimits(100_000, 100_000_000, AGE)
    for name, value in {"EVENTS": "7", "MB": "8", "DAYS": "9"}.items():
        monkeypatch.setenv(f"PATRON_QUARANTINE_{name}", value)
    expected = QuarantineLimits(7, 8 * retention.MEGABYTE, timedelta(days=9))
    assert QuarantineLimits.of(FeatureSettings()) == expected
    monkeypatch.setenv("PATRON_QUARANTINE_DAYS", "0")
    with pytest.raises(ValidationError):
        FeatureSettings()


def test_the_doctor_says_what_the_quarantine_holds_and_warns_before_it_is_full(
    empty_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_home.write_shop(Shop("events", "UTC", "EUR", Clock()))

    def check() -> checks.Check:
        (check,) = checks.quarantine(empty_home)
        return check

    assert (check().state, check().result) == ("ok", "empty")
    monkeypatch.setenv("PATRON_QUARANTINE_EVENTS", "5")
    refuse(empty_home, *seconds(3))
    assert check().state == "warning"
    assert check().result == (
        "3 events that cannot be used, 0.0 MB, the oldest since 2024-05-04; at most 5 events, 100 MB and"
        " 90 days"
    )
    assert check().advice == "`patron quarantine list` says why"
    refuse(empty_home, NOW)
    assert check().advice == "the oldest are deleted first; `patron quarantine list` says why"
