"""Versions that challenge a champion: watched, or answering a share, and ended when they fail or stray."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from events.identity import Identity
from models.registry import challenges
from models.registry.challenges import in_challenger_share
from models.registry.promotion import promote
from models.registry.registry import Registry
from records import ScoreLog, tables
from serving.scores.challengers import MAX_ERRORS, WINDOW, Watch
from serving.scores.champion_watch import ChampionWatch, ChampionWatcher
from serving.scores.champions import open_champions
from serving.scores.scorer import Scorer, open_scorer

KIND = "probability"
Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def home(two_versions: Home, copy_trained: Any, tmp_path: Path) -> Home:
    copied: Home = copy_trained(two_versions, tmp_path / "home")
    return copied


@pytest.fixture
def ids(home: Home) -> list[str]:
    result: list[str] = Identity(home).table()["customer_id"].to_pylist()
    return result


def begin(home: Home, share: float, bound: float | None = 10) -> Registry:
    registry = Registry(home)
    challenges.begin(registry, "propensity", KIND, "2", share, bound)
    return registry


def answers(scorer: Scorer, ids: list[str]) -> dict[str, Any]:
    return {entry.customer_id: entry.scores["propensity"] for entry in scorer.score(ids, ["propensity"])}


def test_one_that_is_watched_answers_nobody_and_is_logged(home: Home, ids: list[str]) -> None:
    alone = answers(open_scorer(home, None), ids)
    begin(home, 0)
    with ScoreLog(home) as log:
        other_value = answers(open_scorer(home, log), ids)
    given = [each for each in other_value.values() if each.score is not None]
    assert len(given) > 100
    assert {(score.score, score.version) for score in given} == {
        (score.score, "1") for score in alone.values() if score.score is not None
    }
    with Database(home).reading() as connection:
        rows = connection.execute(sa.select(tables.scores.c.answers)).scalars().all()
    logged = [json.loads(row)["propensity"] for row in rows]
    assert {each["beside"]["version"] for each in logged} == {"2"}
    assert len({each["beside"]["score"] for each in logged}) > 50


def test_it_answers_its_share_of_the_customers_always_the_same_ones(home: Home, ids: list[str]) -> None:
    begin(home, 0.3)
    one, other = (answers(open_scorer(home, None), ids) for _ in range(2))
    assert one == other
    versions = {customer: score.version for customer, score in one.items()}
    second = {customer for customer, version in versions.items() if version == "2"}
    assert 0.2 < len(second) / len(ids) < 0.4
    keys = Identity(home).keys(ids)
    assert second == {
        customer for customer in ids if in_challenger_share("propensity", "2", keys[customer], 0.3)
    }
    scorer = open_scorer(home, None)
    for entry in scorer.score(sorted(second)[:20], ["propensity"]):
        score = entry.scores["propensity"]
        if score.score is not None:
            facts = {name: [value] for name, value in entry.facts.items()}
            assert entry.models["propensity"].version == "2"
            assert entry.models["propensity"].score(facts)[0] == score.score


def test_one_that_strays_is_ended_everywhere_with_the_reason(
    home: Home, ids: list[str], until: Until
) -> None:
    registry = begin(home, 0.3, bound=1e-9)
    scorer, other = open_scorer(home, None, registry), open_scorer(home, None, Registry(home))
    watchers = [ChampionWatcher(ChampionWatch(home), answering) for answering in (scorer, other)]
    for watcher in watchers:
        watcher.start()
    try:
        answers(scorer, ids)
        assert {score.version for score in answers(scorer, ids).values()} == {"1"}
        until(lambda: not other.champions.challengers)
    finally:
        for watcher in watchers:
            watcher.close()
    over = challenges.last(Registry(home), "propensity")
    assert over is not None
    assert "differed on average" in over.ended
    assert not open_scorer(home, None).champions.challengers


def test_one_that_fails_never_answers_and_is_ended(
    home: Home, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(home, 0.5)
    scorer = open_scorer(home, None)
    challenger = scorer.champions.challengers["propensity"]
    monkeypatch.setattr(type(challenger.model.fitted), "predict", _failing(challenger.model.fitted))
    for _ in range(MAX_ERRORS):
        assert {score.version for score in answers(scorer, ids[:20]).values()} == {"1"}
    assert challenger.watch.ended_because == f"it failed {MAX_ERRORS} times, at last by ArithmeticError"


def _failing(fitted: Any) -> Callable[..., Any]:
    real = type(fitted).predict

    def predict(self: Any, x: Any) -> Any:
        result = real(self, x)
        return result * np.nan if self is fitted else result

    return predict


def test_promoted_it_is_the_champion_and_challenges_no_more(home: Home, ids: list[str]) -> None:
    registry = begin(home, 0.3)
    promote(registry, "propensity", "2", "it did well")
    champions = open_champions(open_scorer(home, None).champions.store, registry)
    assert (champions.models["propensity"].version, champions.challengers) == ("2", {})


def test_what_cannot_challenge_is_told(home: Home) -> None:
    registry = Registry(home)
    for version, share, bound, words in (
        ("1", 0.1, None, "is the champion"),
        ("7", 0.1, None, "no version '7'"),
        ("2", 0.6, None, "a share from 0"),
        ("2", -0.1, None, "a share from 0"),
        ("2", 0.1, 0.0, "the bound is above 0"),
    ):
        with pytest.raises(PatronError, match=words):
            challenges.begin(registry, "propensity", KIND, version, share, bound)
    assert challenges.end(registry, "propensity", None, "nothing to end") is None


def test_it_is_judged_by_windows_of_customers() -> None:
    ours, near, far = np.full(WINDOW, 0.5), np.full(WINDOW, 0.55), np.full(WINDOW, 0.8)
    watch = Watch(0.2, money=False)
    for _ in range(5):
        watch.compare(ours, near)
    watch.compare(ours[:-1], far[:-1])
    assert not watch.ended_because
    watch.compare(ours[:1], far[:1])
    assert watch.ended_because.startswith("it differed on average by 0.3")
    totals = Watch(0.5, money=True)
    totals.compare(100 * ours, 140 * ours)
    assert not totals.ended_because
    totals.compare(100 * ours, 160 * ours)
    assert totals.ended_because.startswith("its total differed by a share of 0.6")


def test_shares_are_nested_and_as_large_as_they_say() -> None:
    keys = range(1, 20_001)
    tenth, third = (
        {key for key in keys if in_challenger_share("m", "2", key, share)} for share in (0.1, 0.3)
    )
    assert tenth < third
    assert abs(len(tenth) / len(keys) - 0.1) < 0.01
    assert abs(len(third) / len(keys) - 0.3) < 0.015
    assert tenth != {key for key in keys if in_challenger_share("m", "3", key, 0.1)}
    assert not any(in_challenger_share("m", "2", key, 0.0) for key in keys)
