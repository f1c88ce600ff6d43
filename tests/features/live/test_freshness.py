"""Whether features keep up: by the refresher's heartbeat, and by how far it is behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.calendar import micros
from core.home import Home
from core.shop import Clock
from core.storage.database import Database
from events import journal
from events.journal import Message
from events.lake import shops
from features.live import freshness
from features.live.freshness import MAX_LAG_S, MAX_SILENCE_S, MAX_UNKNOWN_S, FreshnessMonitor
from features.live.heartbeat import Heart, Heartbeat
from features.live.shards import Shard
from serving.operations.doctor import examine

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


@dataclass
class Time:
    """Both clocks, which are set by hand."""

    wall: datetime = NOW
    seconds: float = 1000.0

    def pass_by(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


@pytest.fixture
def clocks() -> Time:
    return Time()


@pytest.fixture
def home(tmp_path: Path, clocks: Time) -> Home:
    home = Home(tmp_path / "home", wall=lambda: clocks.wall)
    shops.begin_live(home, "Europe/Berlin", "EUR")
    return home


def beat(home: Home) -> None:
    with Heart(home):
        pass


def monitor_of(home: Home, clocks: Time) -> FreshnessMonitor:
    monitor = FreshnessMonitor(home, lambda: clocks.seconds)
    assert monitor.read().reason is None  # a refresher that starts with the service takes a moment
    return monitor


def test_features_are_current_while_the_refresher_beats(home: Home, clocks: Time) -> None:
    monitor = monitor_of(home, clocks)
    for _ in range(20):
        clocks.pass_by(5)
        beat(home)
        read = monitor.read()
        assert (read.reason, read.silence_s) == (None, 0)
    clocks.pass_by(MAX_SILENCE_S + 1)
    assert "gave no sign for 16 s; start `patron refresh`" in (monitor.read().reason or "")
    assert monitor.read().heartbeat.pid == os.getpid()  # type: ignore[union-attr]
    beat(home)
    assert monitor.read().reason is None


def test_a_home_without_a_refresher_is_not_current(home: Home, clocks: Time) -> None:
    monitor = monitor_of(home, clocks)
    clocks.pass_by(MAX_SILENCE_S + 1)
    assert monitor.read().reason == "no refresher works; start `patron refresh`"
    Shard().heartbeat_file(home).write_text("{")  # nobody's heartbeat
    assert monitor.read().reason == "no refresher works; start `patron refresh`"


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_jumps_neither_kills_a_refresher_nor_revives_one(
    home: Home, clocks: Time, jump: timedelta
) -> None:
    monitor = monitor_of(home, clocks)
    clocks.pass_by(MAX_SILENCE_S)
    beat(home)
    monitor.read()
    clocks.pass_by(2)
    beat(home)
    assert monitor.read().reason is None
    clocks.wall += jump  # of this machine alone
    clocks.pass_by(2)
    assert monitor.read().reason is None
    clocks.pass_by(MAX_SILENCE_S)
    assert "gave no sign for 17 s" in (monitor.read().reason or "")


def test_a_refresher_that_is_behind_is_not_current_and_one_that_cannot_be_judged_neither(
    home: Home, clocks: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = monitor_of(home, clocks)
    journal.append(Database(home), [Message("m1", clocks.wall, "A")], compacted_seq=0)
    for _ in range(10):
        clocks.pass_by(MAX_LAG_S / 10)
        beat(home)
        assert monitor.read().reason is None
    clocks.pass_by(1)
    assert monitor.read().reason == (
        "the refresher is behind: 1 messages are not in the features, the oldest for 61 s"
    )

    def unreadable(*_: object) -> None:
        raise freshness.PatronError("the database cannot be reached")

    monkeypatch.setattr(freshness.progress, "lag", unreadable)
    beat(home)
    assert monitor.read().reason is None
    clocks.pass_by(MAX_UNKNOWN_S + 1)
    beat(home)
    assert "cannot be read from the database" in (monitor.read().reason or "")


def test_a_shop_whose_clock_stands_is_always_current(home: Home, clocks: Time) -> None:
    home.write_shop(replace(home.shop(), clock=Clock(NOW)))
    monitor = monitor_of(home, clocks)
    clocks.pass_by(1e6)
    assert monitor.read().reason is None


def refresher_check(home: Home) -> tuple[str, str, str]:
    (check,) = (check for check in examine(home) if check.part == "refresher")
    return check.state, check.result, check.advice


def test_a_refresher_that_is_killed_is_followed_by_another_that_says_so(
    tmp_path: Path, until: Callable[[Callable[[], bool]], None]
) -> None:
    home = Home(tmp_path / "home")
    shops.begin_live(home, "Europe/Berlin", "EUR")
    assert refresher_check(home)[:2] == ("warning", "none ever worked in this home")
    command = [sys.executable, str(ROOT / "patron.py"), "refresh"]
    environment = os.environ | {"PATRON_HOME": str(home.path)}

    def start(log: str) -> subprocess.Popen[bytes]:
        with open(tmp_path / log, "wb") as file:
            return subprocess.Popen(command, env=environment, stderr=file)

    def lines(log: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (tmp_path / log).read_text().splitlines()]

    def beating() -> int:
        heartbeat = Heartbeat.read(home)
        return heartbeat.pid if heartbeat else 0

    with start("first") as first:
        until(lambda: beating() == first.pid)
        assert refresher_check(home)[0] == "ok"
        with start("second") as second:
            until(lambda: any("stands by" in line["message"] for line in lines("second")))
            first.send_signal(signal.SIGSTOP)  # hangs, and holds its lock
            last = Heartbeat.read(home)
            first.kill()
            until(lambda: beating() == second.pid)
            second.terminate()
            second.wait(60)
    (takeover,) = (line for line in lines("second") if "takes over" in line["message"])
    assert (takeover["refresher"], takeover["previous"]) == (second.pid, first.pid)
    assert last is not None
    assert micros(home.wall()) > last.beat_at_us
