"""How often a key may ask: the arithmetic, the two places that buckets are kept in, and HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import count
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rudder_analytics.client import Client as RudderClient

from benchmarks.harness import servers
from core import home_id
from core.errors import PatronError
from core.home import Home
from core.shop import Clock, Shop
from core.storage.database import Database
from events import journal
from events.identity import Identity
from features.live.freshness import FreshnessMonitor
from records import ScoreLog
from serving.access import limits as limiting
from serving.access.buckets import MINUTE_US, SHARES, Buckets, FileBuckets, RedisBuckets, open_buckets, taken
from serving.access.keys import Keys
from serving.access.limits import Limits
from serving.app import create_app
from serving.http.client_paths import ALIASES, CLIENT_PATHS
from serving.http.metrics import Metrics
from serving.http.services import services_of
from serving.scores.scorer import Scorer
from serving.settings import ServingSettings

NO_MODELS = SimpleNamespace(models={}, unavailable={}, pending={}, states=dict)  # no model answers
ROOT = Path(__file__).parents[3]
NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)
NOW_US = int(NOON.timestamp()) * 1_000_000
NOBODY = f"redis://me:secret@{servers.HOST}:1/0"
RATES = st.one_of(st.integers(1, 20), st.integers(1, 1_000_000))


# The arithmetic


@dataclass
class Tokens:
    """The bucket as one would tell it: it holds tokens, which come back evenly."""

    per_minute: int
    at_us: int
    tokens: Fraction

    def wait_us(self, now_us: int) -> int:
        each_us = ceil(Fraction(MINUTE_US, self.per_minute))
        self.tokens = min(Fraction(self.per_minute), self.tokens + Fraction(now_us - self.at_us, each_us))
        self.at_us = now_us
        if self.tokens < 1:
            return ceil((1 - self.tokens) * each_us)
        self.tokens -= 1
        return 0


@given(rate=RATES, pauses=st.lists(st.integers(0, 3 * MINUTE_US) | st.integers(0, 100), max_size=60))
def test_a_bucket_holds_a_minutes_requests_which_come_back_evenly(rate: int, pauses: list[int]) -> None:
    given_value, full_us, now_us = Tokens(rate, NOW_US, Fraction(rate)), 0, NOW_US
    for pause_us in pauses:
        now_us += pause_us
        full_us, wait_us = taken(full_us, now_us, rate)
        assert wait_us == given_value.wait_us(now_us)
        if wait_us:
            assert taken(full_us, now_us + wait_us - 1, rate)[1] == 1
            assert taken(full_us, now_us + wait_us, rate)[1] == 0


@pytest.mark.parametrize("rate", [1, 2, 7, 60, 999])
def test_so_many_at_once_and_so_many_a_minute_in_the_long_run(rate: int) -> None:
    full_us, answered = 0, Counter[int]()
    for now_us in range(0, 10 * MINUTE_US, MINUTE_US // 2000):  # far more often than it may
        full_us, wait_us = taken(full_us, NOW_US + now_us, rate)
        answered[now_us // MINUTE_US] += not wait_us
    first, *others = answered.values()
    assert first in (2 * rate, 2 * rate - 1)
    assert all(rate - 1 <= number <= rate for number in others)


@given(rate=RATES, ahead_us=st.integers(2 * MINUTE_US + 1, 10**16))
def test_a_clock_that_was_set_back_locks_nobody_out(rate: int, ahead_us: int) -> None:
    full_us, wait_us = taken(NOW_US + ahead_us, NOW_US, rate)
    assert (full_us, wait_us) == taken(0, NOW_US, rate)


@given(rate=RATES, other=RATES)
def test_another_limit_holds_within_a_minute(rate: int, other: int) -> None:
    full_us = 0
    for _ in range(min(rate, 50)):
        full_us, _ = taken(full_us, NOW_US, rate)
    assert taken(full_us, NOW_US + MINUTE_US + rate, other)[1] == 0


# The two places


@pytest.fixture(scope="module", params=["file", "redis"])
def store(request: pytest.FixtureRequest) -> str | None:
    """What names the place: nothing, or a Redis."""
    return str(request.getfixturevalue("redis_address")) if request.param == "redis" else None


@pytest.fixture(scope="module")
def place(store: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    with closing(open_buckets(Home(tmp_path_factory.mktemp("buckets") / "home"), store)) as place:
        yield place


NAMES = count()
SLOW = st.integers(1, 2 * SHARES - 1)  # rates of which a process takes one request at a time


@given(steps=st.lists(st.tuples(SLOW, st.integers(-3 * MINUTE_US, 3 * MINUTE_US)), max_size=20))
def test_both_places_reckon_alike_also_with_a_clock_that_jumps(
    place: Buckets, steps: list[tuple[int, int]]
) -> None:
    name, full_us, now_us = f"key {next(NAMES)}", 0, NOW_US
    for rate, pause_us in steps:
        now_us += pause_us
        full_us, wait_us = taken(full_us, now_us, rate)
        assert place.take(name, rate, now_us) == wait_us


def test_names_have_buckets_of_their_own_whatever_they_hold(place: Buckets, store: str | None) -> None:
    for name in ("a", "../a", "a/b", "顧客", "x" * 60, " ", "."):
        assert [place.take(name, 1, NOW_US) for _ in range(2)] == [0, MINUTE_US], name
    if store:
        import redis

        with redis.Redis.from_url(store) as client:
            assert 0 < client.pttl("patron:limit:a") <= 2 * MINUTE_US // 1000
    else:
        folder = cast(FileBuckets, place)._folder
        assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
        assert {file.stat().st_size for file in folder.iterdir()} == {8}


@pytest.mark.parametrize("rate", [2 * SHARES, 7 * SHARES + 1])
def test_of_a_large_bucket_a_process_takes_a_share_and_loses_none_of_it(rate: int, place: Buckets) -> None:
    def answered(now_us: int) -> int:
        waits = [place.take(name, rate, now_us) for _ in range(rate + 50)]
        assert waits == sorted(waits, key=bool)  # once there is none there is none
        return waits.count(0)

    name = f"shares {next(NAMES)}"
    assert answered(NOW_US) == rate
    assert answered(NOW_US + MINUTE_US // 10) == rate // 10
    assert place.take(name, rate, NOW_US + 2 * MINUTE_US) == 0
    left = cast(RedisBuckets, place)._left[name] if isinstance(place, RedisBuckets) else 0
    assert left < rate / SHARES
    assert answered(NOW_US + 4 * MINUTE_US) == rate + left


def test_threads_take_no_more_than_there_is(place: Buckets) -> None:
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: place.take("threads", 100, NOW_US), range(300)))
    assert waits.count(0) == 100


TAKING = """
import sys
from pathlib import Path
from core.home import Home
from serving.access.buckets import open_buckets
place = open_buckets(Home(Path(sys.argv[1])), sys.argv[2] or None)
print(sum(place.take("crm", 500, int(sys.argv[3])) == 0 for _ in range(300)))
"""


def test_processes_take_together_what_there_is_and_the_next_ones_find_the_rest(
    store: str | None, tmp_path: Path
) -> None:
    def run(count: int, now_us: int) -> int:
        words = [sys.executable, "-c", TAKING, str(tmp_path / "home"), store or "", str(now_us)]
        started = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(count)]
        text = [process.communicate(timeout=120)[0] for process in started]
        return sum(map(int, text))

    assert run(3, NOW_US) == 500
    assert run(2, NOW_US + MINUTE_US // 10) == 50


def test_closed_buckets_are_opened_again(place: Buckets) -> None:
    assert place.take("closed", 2, NOW_US) == 0
    place.close()
    assert place.take("closed", 2, NOW_US) == 0
    assert place.take("closed", 2, NOW_US) > 0


def test_a_redis_that_dropped_the_connection_is_asked_again(redis_address: str) -> None:
    import redis

    place = RedisBuckets(redis_address)
    with closing(place), redis.Redis.from_url(redis_address) as other:
        assert place.take("dropped", 2, NOW_US) == 0
        other.client_kill_filter(_type="normal", skipme=True)
        assert place.take("dropped", 2, NOW_US) == 0


def test_keys_of_one_name_in_two_homes_have_limits_of_their_own(redis_address: str, tmp_path: Path) -> None:
    homes = Home(tmp_path / "one"), Home(tmp_path / "other")
    for home in homes:
        home_id.write(home, home_id.new())
        with closing(open_buckets(home, redis_address)) as place:
            assert place.take("web", 1, NOW_US) == 0
            assert place.take("web", 1, NOW_US) > 0


def test_a_process_that_was_stopped_with_the_lock_stops_no_other(tmp_path: Path) -> None:
    import fcntl

    with closing(FileBuckets(tmp_path)) as place:
        assert place.take("crm", 2, NOW_US) == 0
        (file,) = tmp_path.iterdir()
        with open(file) as stored:
            fcntl.flock(stored, fcntl.LOCK_EX)
            with pytest.raises(PatronError, match="another process holds a lock"):
                place.take("crm", 2, NOW_US)
        assert place.take("crm", 2, NOW_US) == 0


def test_a_damaged_bucket_is_a_full_one(tmp_path: Path) -> None:
    with closing(FileBuckets(tmp_path)) as place:
        place.take("crm", 1, NOW_US)
        (file,) = tmp_path.iterdir()
        for damage in (b"", b"\xff" * 8, b"x", b"longer than eight bytes"):
            file.write_bytes(damage)
            assert [place.take("crm", 1, NOW_US) for _ in range(2)] == [0, MINUTE_US]


# Over HTTP


@dataclass
class Wall:
    """A clock that stands, or goes on a little whenever it is looked at."""

    at: datetime = NOON
    step: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        self.at += self.step
        return self.at


@dataclass
class Shops:
    """Services over one home, by a clock that the test moves."""

    home: Home
    wall: Wall
    store: str | None
    opened: list[Any] = field(default_factory=list)

    def service(self, default: int | None = None, *, store: str | None = None) -> FastAPI:
        scorer = cast(
            Scorer,
            SimpleNamespace(
                home=self.home,
                identity=Identity(self.home),
                shop=self.home.shop(),
                champions=NO_MODELS,
                freshness=FreshnessMonitor(self.home),
                close=lambda: None,
            ),
        )
        log, keys = ScoreLog(self.home), Keys(self.home, recheck_seconds=0)
        limits = Limits(self.home, store or self.store, default)
        self.opened += [log, keys, limits]
        return create_app(scorer, log, keys=keys, keys_needed=True, limits=limits)


def shop_of(home: Home, wall: Callable[[], datetime]) -> Home:
    home = replace(home, wall=wall)
    home.write_shop(Shop("events", "Europe/Berlin", "EUR", Clock()))
    return home


@pytest.fixture
def shops(tmp_path: Path, store: str | None) -> Iterator[Shops]:
    if store:
        import redis

        with redis.Redis.from_url(store) as client:
            client.flushdb()
    wall = Wall()
    shops = Shops(shop_of(Home(tmp_path / "home"), wall), wall, store)
    yield shops
    for opened in shops.opened:
        opened.close()


def ask(app: FastAPI, path: str, key: str | None, method: str = "GET", **given: Any) -> httpx.Response:
    """One request, answered in this process."""
    headers = {"content-type": "application/json"} | (
        {} if key is None else {"authorization": f"Bearer {key}"}
    )

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
            return await client.request(method, path, headers=headers, **given)

    return asyncio.run(request())


def limited(response: httpx.Response) -> tuple[int, str]:
    """The seconds to wait, and what a refusal says."""
    assert response.status_code == 429, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == 429
    return int(response.headers["retry-after"]), response.json()["detail"]


def counted(app: FastAPI, name: str) -> float:
    """What the metrics say; 0 where they say nothing yet."""
    lines = (line.rpartition(" ") for line in services_of(app)[Metrics].text().decode().splitlines())
    return next((float(value) for result, _, value in lines if result == name), 0.0)


def test_two_services_over_one_home_hold_a_key_to_its_limit_together(shops: Shops) -> None:
    one, other = shops.service(), shops.service()
    keys = Keys(shops.home)
    _, secret = keys.create("crm", ["operations"], None, 6)
    _, free = keys.create("free", ["operations"])
    for app in (one, other) * 3:
        assert ask(app, "/v1/models", secret).status_code == 200
    for app in (one, other):
        text = "the key 'crm' may send 6 requests a minute; ask again in 10 s"
        assert limited(ask(app, "/v1/models", secret)) == (10, text)
        assert ask(app, "/v1/models", free).status_code == 200
        assert counted(app, 'patron_limited_total{key="crm"}') == 1
        assert counted(app, "patron_unlimited_total") == 0
    shops.wall.at += timedelta(seconds=4.5)
    assert limited(ask(one, "/healthz", secret))[0] == 6  # whole seconds, and never too few
    shops.wall.at += timedelta(seconds=5.5)
    assert ask(other, "/v1/models", secret).status_code == 200
    assert limited(ask(one, "/v1/models", secret))[0] == 10


def test_a_rotated_key_and_the_new_one_share_the_limit(shops: Shops) -> None:
    app, keys = shops.service(), Keys(shops.home)
    _, old = keys.create("crm", ["operations"], None, 2)
    _, new, _ = keys.rotate("crm", timedelta(hours=24))
    assert [ask(app, "/v1/models", key).status_code for key in (old, new, old, new)] == [200, 200, 429, 429]


def test_the_services_own_limit_holds_for_keys_without_one(shops: Shops) -> None:
    app, keys = shops.service(default=1), Keys(shops.home)
    _, own = keys.create("own", ["operations"], None, 3)
    _, none = keys.create("none", ["operations"])
    assert [ask(app, "/v1/models", none).status_code for _ in range(3)] == [200, 429, 429]
    assert [ask(app, "/v1/models", own).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert ask(app, "/healthz", None).status_code == 200


def test_what_is_refused_takes_nothing_and_a_wrong_key_is_no_ones(shops: Shops) -> None:
    app, keys = shops.service(default=2), Keys(shops.home)
    _, secret = keys.create("crm", ["operations"])
    for _ in range(5):
        assert ask(app, "/v1/models", secret[:-2] + "!!").status_code == 401
    statuses = [ask(app, "/v1/models", secret).status_code for _ in range(9)]
    assert statuses == [200] * 2 + [429] * 7
    shops.wall.at += timedelta(seconds=30)
    assert ask(app, "/v1/models", secret).status_code == 200


@pytest.mark.parametrize("path", sorted(CLIENT_PATHS))
def test_clients_of_events_are_told_in_their_words_wherever_the_key_is(path: str, shops: Shops) -> None:
    app, keys = shops.service(), Keys(shops.home)
    _, secret = keys.create("shop", ["events"], None, 1)
    body = (
        {"batch": []}
        if ALIASES.get(path, path) == "/v1/batch"
        else {"messageId": "1", "userId": "c", "name": "x"}
    )
    more = {"event": "x", "groupId": "g", "previousId": "p"}
    first = ask(app, path, None, "POST", json=body | more | {"writeKey": secret})
    assert first.status_code == 200, first.text
    for again in (
        ask(app, path, None, "POST", json=body | {"writeKey": secret}),
        ask(app, path, secret, "POST", json=body),
    ):
        _, why = limited(again)
        assert again.json()["code"] == "too_many_requests"
        assert again.json()["message"] == why


def put_away(shops: Shops) -> FastAPI:
    """A service that cannot have its limits."""
    if shops.store:
        return shops.service(store=NOBODY)
    shops.home.limits.write_text("in the way of the folder")
    return shops.service()


def test_where_the_limits_are_away_requests_are_let_through_and_that_is_said_once(
    shops: Shops, caplog: pytest.LogCaptureFixture
) -> None:
    app = put_away(shops)
    _, secret = Keys(shops.home).create("crm", ["operations"], None, 1)
    with caplog.at_level(logging.WARNING, "serving.access.limits"):
        assert [ask(app, "/v1/models", secret).status_code for _ in range(3)] == [200] * 3
    (line,) = caplog.messages
    assert line.startswith("the limits of keys are not enforced for now: ")
    assert "secret" not in line
    assert counted(app, "patron_unlimited_total") == 3


def test_limits_that_are_back_hold_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiting, "RETRY_SECONDS", 0.0)
    shops = Shops(shop_of(Home(tmp_path / "home"), Wall()), Wall(), None)
    app = put_away(shops)
    _, secret = Keys(shops.home).create("crm", ["operations"], None, 1)
    with caplog.at_level(logging.WARNING, "serving.access.limits"):
        assert [ask(app, "/v1/models", secret).status_code for _ in range(3)] == [200] * 3
        shops.home.limits.unlink()
        assert [ask(app, "/v1/models", secret).status_code for _ in range(3)] == [200, 429, 429]
    assert [line.partition(":")[0] for line in caplog.messages] == [
        "the limits of keys are not enforced for now", "the limits of keys are enforced again",
    ]  # fmt: skip
    for opened in shops.opened:
        opened.close()


def test_the_description_of_the_api_tells_of_limits(shops: Shops) -> None:
    for path, operations in shops.service().openapi()["paths"].items():
        for operation in operations.values():
            assert ("429" in operation["responses"]) == ("security" in operation)
            if "security" in operation:
                content = operation["responses"]["429"]["content"]["application/problem+json"]
                kind = "ClientProblem" if path in CLIENT_PATHS else "Problem"
                assert content["schema"] == {"$ref": f"#/components/schemas/{kind}"}


def test_the_services_own_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ServingSettings().key_per_minute is None
    monkeypatch.setenv("PATRON_KEY_PER_MINUTE", "600")
    assert ServingSettings().key_per_minute == 600
    for wrong in ("0", "1000001", "many"):
        monkeypatch.setenv("PATRON_KEY_PER_MINUTE", wrong)
        with pytest.raises(ValidationError, match="key_per_minute"):
            ServingSettings()


# Processes


def process() -> FastAPI:
    """What a server process runs; its clock stands, or goes on whenever it is looked at."""
    wall = Wall(step=timedelta(seconds=float(os.environ["TEST_STEP_SECONDS"])))
    home = shop_of(Home(Path(os.environ["PATRON_HOME"])), wall)
    return Shops(home, wall, os.environ.get("PATRON_ONLINE_STORE")).service()


def started(home: Home, folder: Path, step_seconds: float, *names: str, store: str | None = None) -> Any:
    environment = {
        "PATRON_HOME": str(home.path), "PYTHONPATH": str(Path(__file__).parent),
        "TEST_STEP_SECONDS": str(step_seconds),
    } | ({"PATRON_ONLINE_STORE": store} if store else {})  # fmt: skip
    return servers.running(dict.fromkeys(names, servers.uvicorn("test_limits:process")), environment, folder)


def test_two_server_processes_hold_a_key_to_its_limit_together(shops: Shops, tmp_path: Path) -> None:
    _, secret = Keys(shops.home).create("crm", ["operations"], None, 40)
    headers = {"authorization": f"Bearer {secret}"}
    with started(shops.home, tmp_path, 0, "one", "other", store=shops.store) as servers_:
        ports = [server.port for server in servers_.values()]

        def get(n: int) -> int:
            url = f"http://{servers.HOST}:{ports[n % 2]}/v1/models"
            return httpx.get(url, headers=headers, timeout=60).status_code

        with ThreadPoolExecutor(4) as pool:
            assert Counter(pool.map(get, range(100))) == {200: 40, 429: 60}


def test_a_client_of_events_that_is_told_to_wait_sends_again(tmp_path: Path) -> None:
    home = shop_of(Home(tmp_path / "home"), Wall())
    _, secret = Keys(home).create("shop", ["events"], None, 1)
    _, reader = Keys(home).create("reader", ["operations"])
    errors: list[Exception] = []
    with started(home, tmp_path, 31, "ours") as servers_:
        url = f"http://{servers.HOST}:{servers_['ours'].port}"
        client = RudderClient(
            secret, host=url, flush_interval=0.05, on_error=lambda error, _: errors.append(error)
        )
        for event in ("first", "second", "third"):
            client.track("c1", event)
            client.flush()
        client.join()
        metrics = httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {reader}"}, timeout=60).text
    assert errors == []
    given_value = journal.tail(Database(home), 0)["activities"].to_pylist()
    assert sorted(row["name"] for row in given_value) == ["first", "second", "third"]
    assert re.search(r'^patron_limited_total{key="shop"} [1-9]', metrics, re.M)
