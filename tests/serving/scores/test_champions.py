"""Promotions while a service runs: the next answers are the new version's, and no answer mixes two."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.home import Home
from events.identity import Identity
from features.catalogue.store import Store
from models.registry.promotion import promote, rollback
from models.registry.registry import CHAMPION, Registry
from serving.scores import champion_watch
from serving.scores.champion_watch import ChampionWatch, ChampionWatcher
from serving.scores.champions import open_champions
from serving.scores.scorer import Scorer, open_scorer

Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def home(two_versions: Home, copy_trained: Any, tmp_path: Path) -> Home:
    copied: Home = copy_trained(two_versions, tmp_path / "home")
    return copied


@contextmanager
def following(home: Home) -> Iterator[Scorer]:
    registry = Registry(home)
    scorer = open_scorer(home, None, registry)
    watcher = ChampionWatcher(ChampionWatch(home, registry), scorer)
    watcher.start()
    try:
        yield scorer
    finally:
        watcher.close()


def version(scorer: Scorer) -> str:
    return scorer.champions.models["propensity"].version


def trees_of(home: Home, number: str) -> Path:
    run_id = next(v.run_id for v in Registry(home).versions("propensity") if v.version == number)
    return home.mlflow / "artifacts" / run_id / "artifacts" / "bundle" / "trees.lgb"


def test_promotions_and_rollbacks_reach_a_running_service_and_every_answer_is_its_versions(
    home: Home, until: Until
) -> None:
    ids = Identity(home).table()["customer_id"].to_pylist()[:20]
    registry, stop, answered = Registry(home), threading.Event(), []
    with following(home) as scorer:
        expected = {}
        for number in ("1", "2"):
            model = registry.open("propensity", number)
            for entry in scorer.score(ids):
                facts = {name: [entry.facts[name]] for name in model.features}
                expected[entry.customer_id, number] = float(model.score(facts)[0])

        def ask() -> None:
            while not stop.is_set():
                for entry in scorer.score(ids):
                    score = entry.scores["propensity"]
                    if score.score is not None:
                        answered.append((entry.customer_id, score.version, score.score))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for _ in range(3):
                promote(registry, "propensity", "2", "a try")
                until(lambda: version(scorer) == "2")
                rollback(registry, "propensity", "back")
                until(lambda: version(scorer) == "1")
        finally:
            stop.set()
            asking.join()
    assert {number for _, number, _ in answered} == {"1", "2"}
    assert all(expected[customer, number] == score for customer, number, score in answered)


def test_one_that_cannot_be_opened_does_not_answer_and_the_one_before_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    monkeypatch.setattr(champion_watch, "RETRY_S", 1.0)
    registry, trees = Registry(home), trees_of(home, "2")
    whole = trees.read_bytes()
    trees.write_bytes(whole[:-1])
    with following(home) as scorer:
        promote(registry, "propensity", "2", "a try")
        until(lambda: bool(scorer.champions.pending))
        assert "version 2 was promoted, but" in scorer.champions.pending["propensity"]
        assert version(scorer) == "1"
        first = scorer.champions
        until(lambda: scorer.champions is not first)  # it was tried again, and refused again
        trees.write_bytes(whole)
        caplog.set_level("INFO", "serving")
        until(lambda: version(scorer) == "2")
        assert not scorer.champions.pending
    assert caplog.text.count("propensity version 1 is still used") == 1
    (promoted,) = (record for record in caplog.records if "answers from now on" in record.message)
    assert promoted.fields == {"model": "propensity", "version": "2", "previous": "1"}  # type: ignore[attr-defined]


def test_what_is_refused_or_missing_at_the_start_is_logged_once(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    registry, trees = Registry(home), trees_of(home, "1")
    trees.write_bytes(trees.read_bytes()[:-1])
    registry.mlflow.client.delete_registered_model_alias("churn", CHAMPION)
    champions = open_champions(Store(home), registry)
    champion_watch.log_changes(None, champions)
    lines = [(record.levelname, record.fields["model"]) for record in caplog.records]  # type: ignore[attr-defined]
    assert sorted(lines) == [("ERROR", "propensity"), ("WARNING", "churn")]
    assert "propensity does not answer: model version 1 is refused" in caplog.text
    champion_watch.log_changes(champions, open_champions(Store(home), registry, champions))
    assert len(caplog.records) == 2


def test_one_that_could_not_be_opened_at_the_start_answers_once_it_can(
    home: Home, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(champion_watch, "RETRY_S", 1.0)
    trees = trees_of(home, "1")
    whole = trees.read_bytes()
    trees.unlink()
    with following(home) as scorer:
        assert "propensity" in scorer.champions.unavailable
        trees.write_bytes(whole)
        until(lambda: "propensity" in scorer.champions.models)


def test_without_the_registry_what_answers_goes_on(
    home: Home, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    tables = home.mlflow / "mlflow.db"
    with following(home) as scorer:
        remaining = shutil.copy(tables, home.path / "kept.db")
        tables.write_bytes(b"not tables at all" * 1000)
        until(lambda: "promotions cannot be followed" in caplog.text)
        assert version(scorer) == "1"
        shutil.copy(remaining, tables)
        promote(Registry(home), "propensity", "2", "a try")
        until(lambda: version(scorer) == "2")
