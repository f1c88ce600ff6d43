"""Scores while a store is stopped, paused, slow or damaged: what was last known, or a documented default."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from benchmarks.harness import servers
from benchmarks.harness.postgres import PostgresServer
from core import circuit_breaker
from core.errors import PatronError
from core.home import Home
from core.settings import FeatureSettings
from core.storage.database import Database
from events.identity import Identity
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline import snapshots
from models.questions import MODELS
from models.registry.registry import Registry
from serving.scores.champions import open_champions
from serving.scores.score import ScoredCustomer
from serving.scores.scorer import Scorer, open_scorer

BUDGET_S = 0.1
NAMES = [*MODELS]


@pytest.fixture
def home(trained_copy: Home) -> Home:
    return trained_copy


@pytest.fixture
def ids(home: Home) -> list[str]:
    result: list[str] = Identity(home).table()["customer_id"].to_pylist()
    return result


class Relay:
    """Passes what a client sends on to a Redis and back; it can be slow, and hang up on everybody."""

    def __init__(self, port: int) -> None:
        self._to, self.delay_s = port, 0.0
        self._socket = socket.create_server((servers.HOST, 0))
        self.port = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            server = socket.create_connection((servers.HOST, self._to))
            self._open += [client, server]
            for there, back in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(there, back), daemon=True).start()

    def _pass_on(self, there: socket.socket, back: socket.socket) -> None:
        try:
            while part := there.recv(1 << 16):
                time.sleep(self.delay_s)
                back.sendall(part)
        except OSError:
            pass

    def close(self) -> None:
        for each in (self._socket, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # also wakes the threads that wait for it
            each.close()


def over(home: Home, redis_address: str) -> Scorer:
    """A scorer of a home whose online rows are in a Redis."""
    settings = FeatureSettings(online_store=redis_address)
    built, store = snapshots.build(home), Store(home, settings)
    store.apply(GROUPS, built.folders)
    store.fill_online({group.name: built.table(group, built.current) for group in GROUPS})
    champions = open_champions(Store(home, settings, BUDGET_S), Registry(home))
    return Scorer(home, champions, None, BUDGET_S)


def answered(scorer: Scorer, customer_ids: list[str]) -> list[ScoredCustomer]:
    return scorer.score(customer_ids, NAMES, allow_fallback=True)


def values(entries: list[ScoredCustomer]) -> list[Any]:
    return [(entry.customer_id, entry.known, entry.features_as_of, entry.scores) for entry in entries]


def check_degraded(scorer: Scorer, before: list[ScoredCustomer], strangers: list[str], why: str) -> None:
    """Those who were asked for before are answered as then, others by the defaults; all are marked."""
    request = [entry.customer_id for entry in before]
    now = answered(scorer, [*request, *strangers])
    assert values(now[: len(request)]) == values(before)
    for entry in now:
        assert entry.degraded is not None
        assert why in entry.degraded
        assert not {*request, *strangers} & set(entry.degraded.split())
    for entry in now[len(request) :]:
        assert (entry.features_as_of, entry.fresh) == (None, False)
        assert {name: score.score for name, score in entry.scores.items()} == {
            name: model.default_score for name, model in scorer.champions.models.items()
        }
        assert all(score.reason and score.version for score in entry.scores.values())


def test_without_the_file_of_online_rows_scores_rest_on_what_was_last_known(
    home: Home, ids: list[str]
) -> None:
    scorer = open_scorer(home, None)
    before = answered(scorer, ids[:5])
    assert {entry.degraded for entry in before} == {None}
    online = Store(home).online_file
    away = online.with_suffix(".away")
    shutil.move(online, away)
    check_degraded(scorer, before, ids[5:8], "the online store")
    (unknown,) = answered(scorer, ["nobody"])  # the database knows who is known
    assert (unknown.known, unknown.scores["churn"].score) == (False, None)
    shutil.move(away, online)
    check_back(scorer, before)


def test_without_the_database_nobody_knows_who_is_known(home: Home, ids: list[str]) -> None:
    scorer = open_scorer(home, None)
    before = answered(scorer, ids[:3])
    home.database_file.rename(home.path / "away.db")
    home.database_file.write_bytes(b"not a database " * 1000)
    check_degraded(scorer, before, ["nobody"], "the database")
    (stranger,) = answered(scorer, ["nobody"])
    assert stranger.known is None


def test_who_is_forgotten_is_not_remembered(home: Home, ids: list[str]) -> None:
    scorer = open_scorer(home, None)
    answered(scorer, ids[:2])
    store = Store(home)
    store.forget([scorer.identity.keys(ids[:1])[ids[0]]])
    answered(scorer, ids[:2])
    store.online_file.unlink()
    gone, remaining = answered(scorer, ids[:2])
    assert gone.scores["churn"].score == scorer.champions.models["churn"].default_score
    assert remaining.features_as_of is not None


def test_a_redis_that_is_paused_slow_or_stopped_holds_nobody_up(
    home: Home, ids: list[str], redis_address: str
) -> None:
    relay = Relay(urlsplit(redis_address).port or 0)
    process = redis.Redis.from_url(redis_address).info("server")["process_id"]
    try:
        scorer = over(home, f"redis://{servers.HOST}:{relay.port}/3")
        before = answered(scorer, ids[:5])
        assert {entry.degraded for entry in before} == {None}
        os.kill(process, signal.SIGSTOP)
        try:
            check_degraded(scorer, before, ids[5:8], "the online store")
            for _ in range(circuit_breaker.FAILURES):
                answered(scorer, ids[:1])
            assert scorer.feature_reader.online.open
        finally:
            os.kill(process, signal.SIGCONT)
        check_back(scorer, before)
        relay.delay_s = 3 * BUDGET_S
        check_degraded(scorer, before, ids[5:8], "the online store")
        relay.delay_s = 0.0
        check_back(scorer, before)
        relay.close()
        check_degraded(scorer, before, ids[8:9], "the online store")
    finally:
        relay.close()


def test_a_postgresql_that_is_paused_holds_nobody_up(
    home: Home, ids: list[str], postgres: PostgresServer
) -> None:
    champions = open_champions(Store(home, patience_s=BUDGET_S), Registry(home))
    with postgres.database() as address:
        moved = Home(home.path, address)
        Database(moved).attach()
        Identity(moved).assign(ids)  # in the order of their keys, which are then the same
        scorer = Scorer(moved, champions, None, BUDGET_S)
        wait_for_stores(scorer, ids[:5])  # a first connection may take longer than the budget
        before = answered(scorer, ids[:5])
        assert values(before) == values(answered(open_scorer(home, None), ids[:5]))
        with postgres.paused():
            check_degraded(scorer, before, ids[5:8], "the database")
            check_degraded(scorer, before[:1], ids[5:6], "the database")
        check_back(scorer, before)
        scorer.feature_reader.close()
        Database(moved).close()


def wait_for_stores(scorer: Scorer, customer_ids: list[str]) -> None:
    """Ask until the stores answer within their budget, which a busy machine may not let them at once."""
    for _ in range(100):
        if not any(entry.degraded for entry in answered(scorer, customer_ids)):
            return
        time.sleep(0.1)
    raise AssertionError("the stores did not come back")


def check_back(scorer: Scorer, before: list[ScoredCustomer]) -> None:
    """The stores are asked again, and say what they did."""
    wait_for_stores(scorer, [entry.customer_id for entry in before])
    after = answered(scorer, [entry.customer_id for entry in before])
    assert values(after) == values(before)
    assert {entry.degraded for entry in after} == {None}


def test_features_that_are_too_old_are_told(
    home: Home, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = open_scorer(home, None)
    now = scorer.shop.now()
    spans = scorer.champions.store.fresh_for()
    assert set(spans) >= {"purchases"}
    for age, stale in ((timedelta(0), False), (max(spans.values()) + timedelta(days=30), True)):
        monkeypatch.setattr(type(scorer.shop), "now", lambda _shop, at=now + age: at)
        for entry in answered(scorer, ids[:2]):
            assert (entry.fresh, bool(entry.stale)) == (not stale, stale)
            assert entry.degraded is None
            assert set(entry.stale) <= set(spans)


def test_what_is_last_known_of_some_groups_is_not_taken_for_all(
    home: Home, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = open_scorer(home, None)
    some, everything = scorer.champions.reader(["clv"]), scorer.champions.everything
    assert some.selections.keys() < everything.selections.keys()
    scorer.feature_reader.fetch_or_cached(ids[:2], some)
    scorer.feature_reader.fetch_or_cached(ids[1:2], everything)
    before = scorer.feature_reader.fetch(ids[:2], some).cells
    monkeypatch.setattr(scorer.feature_reader, "_fetch_cells", _away)
    assert scorer.feature_reader.fetch_or_cached(ids[:2], some).cells == before
    missing, known = zip(*scorer.feature_reader.fetch_or_cached(ids[:2], everything).cells, strict=True)
    assert set(missing) == {None}
    assert None not in known


def _away(*_: object) -> None:
    raise PatronError("the online store is away")
