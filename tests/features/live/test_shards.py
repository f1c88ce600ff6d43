"""Several refreshers share a shop by customer, and no customer is lost when their number changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.harness import servers
from core import child_process
from core.errors import PatronError
from core.home import Home
from events import journal
from events.journal import Message
from events.lake import shops
from features.live.freshness import MAX_SILENCE_S, FreshnessMonitor
from features.live.heartbeat import Heart
from features.live.lease import lease
from features.live.progress import Watermark, divide, lag
from features.live.recompute import LiveUpdater
from features.live.refresher import Refresher, refresh_once
from features.live.shards import Division, Shard, shards_of
from features.offline import build as builds
from tests.features.live.test_live import ZONE, Wall, World, at_once, empty_live, world

ROOT = Path(__file__).parents[3]
__all__ = ["empty_live", "world"]  # the fixtures
ONE, TWO = shards_of(2)
ARRIVING = 900  # customers, enough for a kill while they are computed


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "2/", "a/b", "1/65", "-1/2", "1/2 ", "1/100", ""])
def test_what_is_no_shard_is_refused_in_words(text: str) -> None:
    with pytest.raises(PatronError, match="it takes NUMBER/COUNT, such as 2/4"):
        Shard.parse(text)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_each_customer_belongs_to_one_shard(count: int) -> None:
    shards = [Shard.parse(f"{number}/{count}") for number in range(1, count + 1)]
    owners = [[shard for shard in shards if shard.owns(key)] for key in range(1, 1001)]
    assert all(len(of_key) == 1 for of_key in owners)
    assert {of_key[0] for of_key in owners} == set(shards)


def test_shards_together_write_what_one_refresher_would(world: World) -> None:
    updaters = [LiveUpdater(world.home, shard) for shard in (ONE, TWO)]
    divide(world.home, 2)
    for n in range(8):
        world.order(f"c{n}", f"o{n}")
    assert [updater.catch_up() for updater in updaters] == [4, 4]
    world.wall.on(seconds=1)
    world.tell("c1", joins="c2", name="joined")  # customers of different shards
    world.order("c2", "after")
    assert sum(updater.catch_up() for updater in updaters) == 1
    assert world.check() == 7
    assert lag(world.home, world.database).messages == 0


def test_a_new_number_of_shards_begins_where_the_slowest_was(world: World) -> None:
    divide(world.home, 2)
    Watermark(7, 100).write(world.home, ONE)
    Watermark(5, 200, again_after=3).write(world.home, TWO)
    for count in (3, 1):
        divide(world.home, count)
        shards = shards_of(count)
        assert [Watermark.read(world.home, shard) for shard in shards] == [Watermark(5, 200, 3)] * count
        assert Division.read(world.home).count == count
    assert not ONE.progress_file(world.home).exists()


def test_only_the_first_shard_builds_and_the_others_learn_what_its_build_included(world: World) -> None:
    for n in range(4):
        world.order(f"c{n}", f"o{n}")
    at_once(world.home, "compact")
    world.order("c0", "later")
    at_once(world.home, "compact")  # the journal has forgotten the first four
    world.wall.on(minutes=2)
    divide(world.home, 2)
    first, second = (Refresher(world.home, at_once, shard=shard) for shard in (ONE, TWO))
    assert second.tick()  # it waits
    assert Watermark.read(world.home, TWO).done == 0
    while first.tick() or second.tick():
        pass
    assert (first.counts["build done"], second.counts["build done"]) == (1, 0)
    assert Watermark.of_all(world.home).done == len(world.sent)
    world.check()


def test_a_lease_refuses_the_second_of_a_shard_and_another_number_of_shards(world: World) -> None:
    stop = threading.Event()
    stop.set()  # does not stand by
    with lease(world.home, ONE, stop) as works, lease(world.home, TWO, stop) as works_too:
        assert works
        assert works_too
        with lease(world.home, TWO, stop) as again:
            assert not again
        for other in (Shard(), Shard(1, 3)):
            with (
                pytest.raises(PatronError, match=r"number of shards \(2\) works in .* stop every refresher"),
                lease(world.home, other, stop),
            ):
                pass
        assert Division.read(world.home).count == 2
    with lease(world.home, Shard(), stop) as works:
        assert works
        assert Division.read(world.home).count == 1


def test_a_missing_shard_is_named(world: World) -> None:
    divide(world.home, 2)
    now = [0.0]
    monitor = FreshnessMonitor(world.home, lambda: now[0], grace_s=0)
    with Heart(world.home, ONE):
        read = monitor.read()
        assert read.reason == "no refresher works for shard 2/2; start `patron refresh --shard 2/2`"
        assert (read.shards, read.silent_shards) == (2, 1)
        with Heart(world.home, TWO):
            assert monitor.read().reason is None
    now[0] += MAX_SILENCE_S + 1
    world.wall.on(seconds=MAX_SILENCE_S + 1)
    with Heart(world.home, ONE):
        reason = monitor.read().reason or ""
    assert "the refresher of shard 2/2" in reason
    assert "gave no sign for 16 s; start `patron refresh --shard 2/2`" in reason


@pytest.mark.slow
def test_a_shard_that_is_killed_is_followed_and_nothing_is_lost_when_shards_change(
    tmp_path: Path, postgres_address: str, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATRON_DATABASE", postgres_address)
    monkeypatch.setenv("PATRON_ONLINE_STORE", redis_address)
    home = Home(tmp_path / "home", postgres_address)
    shops.begin_live(home, ZONE, "EUR")
    builds.build(home, monthly=False)
    world = World(home, Wall(datetime.now(UTC)))
    works = {name: child_process.start(home, "refresh", "--shard", name) for name in ("1/2", "2/2")}
    try:
        servers.wait_until(lambda: _holder(home, ONE) and _holder(home, TWO))
        standby = child_process.start(home, "refresh", "--shard", "2/2")
        works["standby"] = standby
        _append(world, ARRIVING)
        servers.wait_until(lambda: Watermark.read(home, TWO).as_of_us > 0)
        os.kill(works["2/2"].pid, signal.SIGKILL)
        servers.wait_until(lambda: _holder(home, TWO) == standby.pid)
        servers.wait_until(lambda: Watermark.of_all(home).done == len(world.sent))
        world.wall.at = datetime.now(UTC)
        assert world.check() == len(world.sent)
        command = [sys.executable, "-m", "patron", "refresh", "--shard", "1/3"]
        environment = os.environ | {"PATRON_HOME": str(home.path)}
        refused = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
        assert refused.returncode == 1
        assert "a refresher of another number of shards (2) works" in refused.stderr
        standby.stop()
        _append(world, 20)
        servers.wait_until(lambda: Watermark.read(home, ONE).done == len(world.sent))
        assert lag(home, world.database).messages == 20
    finally:
        for work in works.values():
            work.stop()
    refresh_once(home)
    world.wall.at = datetime.now(UTC)
    assert world.check() == len(world.sent)


def _append(world: World, count: int) -> None:
    world.wall.at = datetime.now(UTC)
    first = len(world.sent)
    added = [
        Message(f"m{n}", world.wall.at, f"c{n}", rows={"order_lines": [world.line(f"{n}")]})
        for n in range(first, first + count)
    ]
    world.sent += added
    journal.append(world.database, added, compacted_seq=0)


def _holder(home: Home, shard: Shard) -> int | None:
    """The process that works for a shard, once there is one."""
    path = shard.lease_file(home)
    return int(path.read_text()) if path.exists() and path.read_text() else None
