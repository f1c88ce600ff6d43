"""Deliveries: what their file says, and when they are due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import NothingThere, PatronError
from core.home import Home
from core.shop import Clock, Shop
from features.live.refresher import Refresher
from records.deliveries import due, settings
from records.deliveries.due import DeliveryState

SECTION = '[crm]\nat = "02:30"\nfolder = "/srv/crm"\n'


def home_at(path: Path, moment: str, zone: str = "Europe/Berlin", text: str = SECTION) -> Home:
    """A live home at a moment in UTC, with deliveries."""
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    home = Home(path, wall=lambda: now)
    home.write_shop(Shop("simulated", zone, "EUR", Clock()))
    settings.settings_file(home).write_text(text, encoding="utf-8")
    return home


def names(home: Home) -> list[str]:
    return [delivery.name for delivery in due.due(home)]


def test_the_example_can_be_used_as_it_is_printed(tmp_path: Path) -> None:
    home = home_at(tmp_path, "2026-11-29 12:00", text=settings.EXAMPLE.replace("# ", "").replace("#", ""))
    assert list(settings.load(home_at(tmp_path, "2026-11-29 12:00", text=settings.EXAMPLE))) == ["crm"]
    assert home.path == tmp_path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("crm = 1", "crm stands outside a section"),
        ("[CRM]\n", "'CRM' is no name; use small letters"),
        ("[crm]\nfolder = '/a'", "crm.at: this is missing"),
        (SECTION + "when = 1", "crm.when: there is no such setting"),
        ("[crm]\nat = '25:00'\nfolder = '/a'", r"crm\.at: "),
        ("[crm]\nat = '06:00'\nfolder = 'a'", "crm.folder: write the whole path"),
        ("[crm]\nat = '06:00'", "crm: name either a folder or a webhook"),
        (SECTION + "webhook = 'https://a.example'", "crm: name either a folder or a webhook"),
        ("[crm]\nat = '06:00'\nwebhook = 'https://a.example'", "crm: a webhook needs secret_env"),
        (
            "[crm]\nat = '06:00'\nwebhook = 'ftp://a.example'\nsecret_env = 'A'",
            "crm.webhook: this is no address",
        ),
        (
            "[crm]\nat = '06:00'\nwebhook = 'https://u:p@a.example'\nsecret_env = 'A'",
            "leave the password out",
        ),
        (SECTION + "file = 'ndjson'\nfor = 'zoho'", "crm: for and layout are for csv and xlsx"),
        (SECTION + "mode = '777'", r"crm\.mode: "),
        ("[crm", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PatronError, match=words):
        settings.load(home_at(tmp_path, "2026-11-29 12:00", text=text))


def test_an_unknown_name_is_refused_with_those_there_are(tmp_path: Path) -> None:
    home = home_at(tmp_path, "2026-11-29 12:00")
    assert settings.find(home, "crm").place == "/srv/crm"
    with pytest.raises(NothingThere, match="no delivery 'shop'; there are crm"):
        settings.find(home, "shop")


def test_an_address_is_shown_without_its_path_and_the_secret_is_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "[crm]\nat = '06:00'\nwebhook = 'https://a.example:8443/token-1?key=2'\nsecret_env = 'CRM_SECRET'"
    delivery = settings.find(home_at(tmp_path, "2026-11-29 12:00", text=text), "crm")
    assert delivery.place == "https://a.example:8443"
    for short in (None, "", "short"):
        if short is not None:
            monkeypatch.setenv("CRM_SECRET", short)
        with pytest.raises(PatronError, match="set the environment variable CRM_SECRET"):
            delivery.secret()
    monkeypatch.setenv("CRM_SECRET", "s" * 32)
    assert delivery.secret() == b"s" * 32


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        ("2026-11-29 01:29", "Europe/Berlin", []),  # 02:29
        ("2026-11-29 01:30", "Europe/Berlin", ["crm"]),
        ("2026-11-29 22:59", "Europe/Berlin", ["crm"]),
        ("2026-11-29 23:00", "Europe/Berlin", []),  # midnight: the next day's is not due yet
        ("2026-03-29 00:59", "Europe/Berlin", []),  # the night without 02:30
        ("2026-03-29 01:00", "Europe/Berlin", ["crm"]),  # 03:00
        ("2026-10-25 00:30", "Europe/Berlin", ["crm"]),  # 02:30 for the first time
        ("2026-11-28 18:30", "Asia/Shanghai", ["crm"]),
    ],
)
def test_a_delivery_is_due_from_its_time_on(
    tmp_path: Path, moment: str, zone: str, expected: list[str]
) -> None:
    assert names(home_at(tmp_path, moment, zone)) == expected


def test_it_is_due_once_a_day_also_in_the_night_with_two_half_past_two(tmp_path: Path) -> None:
    first = home_at(tmp_path, "2026-10-25 00:30")
    state = due.today_of(first, "crm", first.shop())
    due.write(first, "crm", replace(state, done=True))
    assert names(first) == []
    assert names(home_at(tmp_path, "2026-10-25 01:30")) == []  # 02:30 again
    assert names(home_at(tmp_path, "2026-10-26 01:30")) == ["crm"]


def test_a_failed_delivery_waits_longer_each_time(tmp_path: Path) -> None:
    start = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)
    state = DeliveryState("2026-11-29", start.isoformat())
    waits: list[Any] = []
    for _ in range(7):
        state = due.failed(state, start, "the CRM cannot be reached")
        waits.append((state.wait_until() - start) // timedelta(minutes=1))
    assert waits == [5, 10, 20, 40, 60, 60, 60]
    home = home_at(tmp_path, "2026-11-29 06:00")
    due.write(home, "crm", due.failed(DeliveryState("2026-11-29", start.isoformat()), start, "x"))
    assert names(home) == []
    assert names(home_at(tmp_path, "2026-11-29 06:05")) == ["crm"]
    assert names(home_at(tmp_path, "2026-11-30 01:30")) == ["crm"]


def test_a_damaged_state_says_what_to_do_and_no_file_means_no_delivery(tmp_path: Path) -> None:
    home = home_at(tmp_path, "2026-11-29 06:00")
    for text in ("{", "[]", '{"crm": {"days": 1}}'):
        due.state_file(home).write_text(text)
        with pytest.raises(PatronError, match=r"deliveries\.json is damaged; remove it"):
            due.due(home)
    settings.settings_file(home).unlink()
    assert due.due(home) == []


def test_one_process_makes_deliveries_at_a_time(tmp_path: Path) -> None:
    home = home_at(tmp_path, "2026-11-29 06:00")
    with due.exclusively(home), pytest.raises(PatronError, match="another process"), due.exclusively(home):
        pass
    with due.exclusively(home):
        pass


def test_the_refresher_starts_what_is_due_once_and_looks_again_after_a_minute(tmp_path: Path) -> None:
    now = datetime(2026, 11, 29, 1, 29, tzinfo=UTC)
    ends: list[int | None] = []
    begun: list[str] = []

    class Started:
        def poll(self) -> int | None:
            return ends.pop(0) if ends else None

    def start(_: Home, task: str) -> Started:
        begun.append(task)
        return Started()

    home = replace(home_at(tmp_path, "2026-11-29 01:29"), wall=lambda: now)
    refresher = Refresher(home, start)
    steps = [(0, []), (59, []), (60, ["deliver"]), (200, ["deliver"])]  # it was not due, is due, goes on
    for seconds, expected in steps:
        now = datetime(2026, 11, 29, 1, 29, tzinfo=UTC) + timedelta(seconds=seconds)
        refresher._deliver()
        assert begun == expected
    ends.append(1)
    refresher._deliver()
    assert refresher.counts == {"deliver failed": 1}
    assert begun == ["deliver", "deliver"]
