"""Large requests go in columns: they give, log and explain what customer by customer would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from msgspec import json, to_builtins

import records as logs
from core.home import Home
from events import lake
from events.identity import Identity
from events.lake import shops
from features.catalogue.store import Store
from features.live.freshness import FreshnessMonitor
from features.live.heartbeat import Heart
from models.questions import MODELS
from models.registry import challenges
from models.registry.registry import Registry
from records import ScoreLog
from records import batches as packed
from records.history import table_rows
from records.requests import lookup as predictions
from serving.scores.batches import batch
from serving.scores.response import CustomerEntry, customer_as_response
from serving.scores.score import count_outcomes
from serving.scores.scorer import Scorer, open_scorer

LATE = "late"


@pytest.fixture(scope="module")
def ids(served: Home) -> list[str]:
    result: list[str] = Identity(served).table()["customer_id"].to_pylist()
    return result


@pytest.fixture
def home(trained_copy: Home) -> Home:
    """A shop that knows somebody of whom there are no features."""
    Identity(trained_copy).assign([LATE])
    return trained_copy


@pytest.fixture
def scorer(home: Home) -> Iterator[Scorer]:
    with ScoreLog(home) as log:
        scorer = open_scorer(home, log)
        yield scorer
        scorer.close()


def read_log(home: Home) -> logs.Logged:
    now = home.shop().now()
    return logs.read(home, now - timedelta(days=1), now + timedelta(days=1), lake.connect())


def unnamed(given: list[CustomerEntry]) -> bytes:
    """The JSON of answers without the ids by which the log has them."""
    return json.encode([
        to_builtins(entry) | {"prediction_id": entry.prediction_id is not None} for entry in given
    ])  # fmt: skip


@pytest.mark.parametrize("models", [None, ["clv"], ["clv", "churn", "clv"]])
def test_they_are_told_and_counted_as_customer_by_customer(
    scorer: Scorer, ids: list[str], models: list[str] | None
) -> None:
    request = [*ids[:40], "nobody", LATE, ids[3], "nobody", *ids[300:340]]
    given, counts = batch.score(scorer, request, models)
    entries = scorer.score(request, models, allow_fallback=True)
    # As text, since the order of the fields is the same too.
    assert unnamed(given) == unnamed([customer_as_response(entry) for entry in entries])
    assert counts == count_outcomes(entries)
    money = [entry.scores["clv"] for entry in given if entry.scores["clv"].score is not None]
    assert all(each.low <= each.score <= each.high for each in money)
    products = [each.probability_of_order * each.amount_if_order for each in money]
    assert products == pytest.approx([each.score for each in money])
    names = {entry.prediction_id for entry in given if entry.prediction_id}
    assert len(names) == len({entry.customer_id for entry in given if entry.prediction_id}) == 80


def test_a_version_without_the_parts_of_money_has_null_for_them(scorer: Scorer, ids: list[str]) -> None:
    champions = scorer.champions
    older = {name: replace(model, order=None) for name, model in champions.models.items()}
    scorer.champions = replace(champions, models=older)
    given, _ = batch.score(scorer, ids[:40], ["clv"])
    entries = scorer.score(ids[:40], ["clv"])
    assert unnamed(given) == unnamed([customer_as_response(entry) for entry in entries])
    scores = [entry.scores["clv"] for entry in given]
    assert {(score.probability_of_order, score.amount_if_order) for score in scores} == {(None, None)}
    assert any(score.low is not None for score in scores)


def test_features_that_are_too_old_are_told(
    scorer: Scorer, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "fresh_for", lambda store: {"purchases": timedelta(days=-1)} | {
        name: timedelta(days=999) for name in scorer.champions.everything.selections if name != "purchases"
    })  # fmt: skip
    given, _ = batch.score(open_scorer(scorer.home, None), ids[:20], None)
    assert {(entry.fresh, entry.stale) for entry in given} == {(False, ("purchases",))}


def test_scores_are_fresh_only_while_a_refresher_works(
    scorer: Scorer, ids: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    groups = scorer.champions.everything.selections
    monkeypatch.setattr(Store, "fresh_for", lambda store: dict.fromkeys(groups, timedelta(days=9999)))
    live = Home(tmp_path / "live")
    shops.begin_live(live, "Europe/Berlin", "EUR")

    def fresh() -> set[bool]:
        given, _ = batch.score(own, ids[:20], None)
        return {entry.fresh for entry in given} | {entry.fresh for entry in own.score(ids[:3])}

    with closing(open_scorer(scorer.home, None)) as own:
        assert fresh() == {True}
        own.freshness = FreshnessMonitor(live, grace_s=0)
        assert own.freshness.read().reason == "no refresher works; start `patron refresh`"
        assert fresh() == {False}
        with Heart(live):
            assert own.freshness.read().reason is None
            assert fresh() == {True}


def test_nobody_who_is_known_is_nothing_to_log(home: Home, scorer: Scorer, ids: list[str]) -> None:
    given, counts = batch.score(scorer, ["nobody", LATE], None)
    assert [entry.known for entry in given] == [False, True]
    assert set(counts) == {(name, outcome) for name in MODELS for outcome in ("unknown", "refused")}
    assert scorer.log is not None
    assert scorer.log.accepted == 0


def test_the_log_has_the_last_answer_whichever_way_it_was_given(
    home: Home, scorer: Scorer, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_rows, "MAX_TABLES", 2)
    assert scorer.log is not None
    scorer.score(ids[:30], ["churn"])
    scorer.log._flush()
    batch.score(scorer, ids[10:60], ["clv"])
    batch.score(scorer, ids[50:80], ["propensity"])
    scorer.log._flush()
    scorer.score(ids[70:75], ["churn"])
    scorer.log._flush()
    assert scorer.log.queued == 0
    result = read_log(home)
    assert (result.answers, result.lost) == (30 + 50 + 30 + 5, 0)
    vectors = result.vectors.to_pandas().set_index("customer_key")
    keys = Identity(home).keys(ids[:80])
    assert sorted(vectors.index) == sorted(keys.values())
    last = {
        name: [each for each in ids[:80] if vectors.loc[keys[each], f"{name}.version"] == "1"]
        for name in MODELS
    }
    assert last["churn"] == ids[:10] + ids[70:75]
    assert last["clv"] == ids[10:50]
    assert last["propensity"] == ids[50:70] + ids[75:80]
    alone = {entry.customer_id: entry for entry in open_scorer(home, None).score(ids[:80])}
    for customer, entry in alone.items():
        row = vectors.loc[keys[customer]]
        for name in MODELS:
            if customer in last[name]:
                score = entry.scores[name].score
                assert score == (None if pd.isna(row[f"{name}.score"]) else row[f"{name}.score"])
        for feature, value in entry.facts.items():
            assert value == row[feature] or (value is None and pd.isna(row[feature])), feature


def test_an_answer_is_found_by_its_id(home: Home, scorer: Scorer, ids: list[str]) -> None:
    given, _ = batch.score(scorer, ids[:40], None)
    singly = scorer.score(ids[:40])
    assert scorer.log is not None
    scorer.log._flush()
    for entry, alone in zip(given, singly, strict=True):
        assert alone.prediction_id is not None
        result = predictions.find(scorer.log.database, entry.prediction_id)
        other = predictions.find(scorer.log.database, alone.prediction_id)
        assert result is not None
        assert result == other
    first = given[0].prediction_id
    for strange in (f"{first}0000", first.partition(".")[0] + ".40", f"{first}x", f"{alone.prediction_id}.0"):
        assert predictions.find(scorer.log.database, strange) is None


def test_where_a_model_is_challenged_it_goes_customer_by_customer(
    two_versions: Home, copy_trained: Callable[[Home, Path], Home], tmp_path: Path
) -> None:
    home = copy_trained(two_versions, tmp_path / "challenged")
    request = Identity(home).table()["customer_id"].to_pylist()[:60]
    challenges.begin(Registry(home), "propensity", "probability", "2", 0.5, 10)
    scorer = open_scorer(home, None)
    given, _ = batch.score(scorer, request, None)
    assert given == [customer_as_response(entry) for entry in scorer.score(request)]
    versions = {entry.scores["propensity"].version for entry in given}
    assert versions == {"1", "2"}


def test_without_the_store_they_rest_on_what_was_last_known(
    home: Home, scorer: Scorer, ids: list[str]
) -> None:
    before, _ = batch.score(scorer, ids[:20], None)
    home.online_file.rename(home.online_file.with_suffix(".away"))
    after, counts = batch.score(scorer, ids[:25], None)
    assert all("online" in entry.degraded for entry in after)
    scored = [entry.scores for entry in after[:20]]
    assert scored == [entry.scores for entry in before]
    assert set(counts) == {(name, "degraded") for name in MODELS}


def test_ids_of_answers_given_together_are_told_from_others() -> None:
    assert packed.parsed(packed.name_of("5c1e", 7)) == ("5c1e", 7)
    for alone in ("5c1e", "5c1e.", "5c1e.x", "5c1e.07", "5c1e.-1", "5c1e.7.7"):
        assert packed.parsed(alone) is None
