"""Predicted totals of segments and the shop: from which job, what they say, and that they come true."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.home import Home
from core.progress import silent
from core.shop import Clock
from events.identity import Identity
from events.simulation import simulated_shop
from events.simulation.simulate import Plan
from features.offline.current import load_current
from models.questions import MODELS
from models.questions.outcomes import labels_of
from records.job import COMMAND
from records.score_jobs import ScoreJob, ScoreJobStore
from serving.score_jobs.scoring import create_job, score_job
from serving.scores.champions import Champions
from serving.scores.scorer import open_scorer
from serving.totals import of_job
from serving.totals.measures import MEASURES
from serving.totals.overview import MAX_AGE, overview

Get = Callable[..., httpx.Response]
NAMES = [measure.name for measure in MEASURES]
KINDS = ("lifecycle_stage", "value_tier", "rfm_segment", "taste_cluster")


@pytest.fixture(scope="module")
def home(trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: Any) -> Home:
    """A trained shop whose jobs are this module's."""
    return copy_trained(trained_shop, tmp_path_factory.mktemp("totals") / "home")


@pytest.fixture(scope="module")
def champions(home: Home) -> Champions:
    return open_scorer(home, None).champions


@pytest.fixture(scope="module")
def untrained(home: Home) -> dict[str, Any]:
    """The overview before anybody was scored, of a shop without a model of churn."""
    return overview(home, {"clv": "1", "propensity": "1"})


@pytest.fixture(scope="module")
def before(home: Home, champions: Champions, untrained: dict[str, Any]) -> dict[str, Any]:
    """The overview before anybody was scored."""
    assert untrained
    return overview(home, champions.named)


@pytest.fixture(scope="module")
def job(home: Home, champions: Champions, before: dict[str, Any]) -> ScoreJob:
    """A job of all customers, and a later one of a segment."""
    assert before
    done = score(home, champions)
    score(home, champions, segment="value_tier:A")
    return done


@pytest.fixture(scope="module")
def scored(home: Home, champions: Champions, job: ScoreJob) -> dict[str, Any]:
    """The overview after both."""
    assert job
    return overview(home, champions.named)


def score(home: Home, champions: Champions, segment: str | None = None, models: Any = MODELS) -> ScoreJob:
    store = ScoreJobStore(home)
    job = create_job(store, champions, [*models], segment=segment, origin=COMMAND)
    with store.execute(job):
        score_job(store, job, champions, threads=1)
    return job


@pytest.fixture(scope="module")
def predictions(home: Home, job: ScoreJob) -> pd.DataFrame:
    """The job's predictions, and the segments of each customer."""
    rows = pq.read_table(ScoreJobStore(home).part(job, 0)).to_pandas()
    snapshot = load_current(home)
    segments = pd.DataFrame(snapshot.segments(snapshot.keys), index=snapshot.keys)
    by_name: pd.DataFrame = rows.join(segments, on="customer_key")
    return by_name.assign(
        predicted_revenue=rows["clv.score"],
        revenue_at_risk=rows["churn.score"] * rows["clv.score"],
        expected_churners=rows["churn.score"],
        expected_buyers=rows["propensity.score"],
    )


def of_segments(content: dict[str, Any], kind: str) -> dict[str, Any]:
    (segments,) = [k["segments"] for k in content["kinds"] if k["name"] == kind]
    return {segment["name"]: segment for segment in segments}


def test_before_a_score_job_there_is_none_and_the_reason_names_the_command(before: dict[str, Any]) -> None:
    for name in NAMES:
        assert before[name] is None
        assert "run `patron score --out FILE`" in before["totals"][name]["reason"]
        assert all(s[name] is None for kind in KINDS for s in of_segments(before, kind).values())


def test_a_model_without_a_champion_is_to_be_trained_first(untrained: dict[str, Any]) -> None:
    reason = untrained["totals"]["revenue_at_risk"]["reason"]
    assert reason.startswith("churn has no champion; run `patron train churn`")


def test_totals_are_the_sums_of_the_scores_of_the_last_job_of_all_customers(
    scored: dict[str, Any], predictions: pd.DataFrame, job: ScoreJob
) -> None:
    for name in NAMES:
        rows = predictions[predictions[name].notna()]
        assert scored[name]["customers"] == len(rows)
        assert scored[name]["expected"] == pytest.approx(rows[name].sum(), abs=0.01)
        assert scored[name]["low"] < scored[name]["expected"] < scored[name]["high"]
        for kind in KINDS:
            for segment, state in of_segments(scored, kind).items():
                members = rows[rows[kind] == segment]
                assert state[name]["customers"] == len(members)
                assert state[name]["expected"] == pytest.approx(members[name].sum(), abs=0.01)
        state = scored["totals"][name]
        assert state["scored_at"] == job.at.isoformat()
        assert (state["stale"], state["reason"]) == (None, None)
    assert scored["totals"]["revenue_at_risk"]["models"].keys() == {"churn", "clv"}
    assert "180 days" in scored["totals"]["expected_churners"]["meaning"]


def test_relatively_the_interval_of_the_shop_is_wider_than_independent_segments_would_make_it(
    scored: dict[str, Any],
) -> None:
    for name in NAMES:
        members = [s[name] for s in of_segments(scored, "lifecycle_stage").values()]
        independent = np.sqrt(sum((total["high"] - total["expected"]) ** 2 for total in members))
        assert scored[name]["high"] - scored[name]["expected"] > independent


def test_totals_are_stale_after_a_promotion_and_after_a_week(
    home: Home, champions: Champions, scored: dict[str, Any]
) -> None:
    assert scored
    promoted = overview(home, {**champions.named, "churn": "9"})["totals"]
    assert "the champion is version 9" in promoted["revenue_at_risk"]["stale"]
    assert promoted["predicted_revenue"]["stale"] is None
    moment = home.shop().now() + MAX_AGE + timedelta(hours=1)
    later = replace(home, wall=lambda: moment)
    shop = home.shop()
    home.write_shop(replace(shop, clock=Clock()))
    try:
        assert "8 days ago" in overview(later, champions.named)["totals"]["expected_buyers"]["stale"]
    finally:
        home.write_shop(shop)


def test_the_service_and_the_command_return_the_same(
    home: Home,
    scored: dict[str, Any],
    answering: Callable[[Home], AbstractContextManager[Get]],
    run_patron: Callable[..., tuple[int, str, str]],
) -> None:
    with answering(home) as ask:
        body = ask("/v1/segments").json()
    assert {name: body[name] for name in NAMES} == {name: scored[name] for name in NAMES}
    assert of_segments(body, "value_tier")["A"]["revenue_at_risk"] is not None
    code, output, errors = run_patron(home, "segments")
    assert (code, errors) == (0, "")
    assert f"{scored['expected_churners']['expected']:,.0f} (" in output
    assert "the whole shop" in output
    assert "Champions" in output


def test_a_job_of_some_models_replaces_their_totals_only(
    home: Home, champions: Champions, job: ScoreJob
) -> None:
    newer = score(home, champions, models=["churn"])
    try:
        states = overview(home, champions.named)["totals"]
        assert states["expected_churners"]["scored_at"] == newer.at.isoformat()
        assert overview(home, champions.named)["predicted_revenue"] is not None
    finally:
        ScoreJobStore(home).delete(newer.id)


@pytest.fixture(scope="module")
def later(plan: Plan, home: Home, tmp_path_factory: Any) -> Home:
    """The same shop a year later."""
    shop = home.shop()
    moment = shop.now() + timedelta(days=366)
    later = Home(tmp_path_factory.mktemp("later") / "home")
    simulated_shop.write(later, plan, moment, silent)
    later.write_shop(replace(shop, clock=Clock(moment)))
    return later


def test_what_then_happened_is_within_the_intervals(
    home: Home, later: Home, champions: Champions, predictions: pd.DataFrame, scored: dict[str, Any]
) -> None:
    """Of the shop, and of nearly all segments, a year later; revenue at risk is no outcome."""
    ids = Identity(home).ids(predictions["customer_key"].tolist())
    keys = predictions["customer_key"].map(ids).map(Identity(later).keys([*ids.values()]))
    moment = pd.Timestamp(home.shop().now()).as_unit("us")
    for measure in (m for m in MEASURES if len(m.models) == 1):
        (name,) = measure.models
        days = scored["totals"][measure.name]["models"][name]["horizon_days"]
        rows = predictions[predictions[measure.name].notna()]
        at = pd.DataFrame({"customer_key": keys[rows.index], "as_of": moment})
        labels = labels_of(later, MODELS[name], days, at, later.shop().now()).set_index("customer_key")
        actual = labels["label"].reindex(at["customer_key"]).set_axis(rows.index)
        assert scored[measure.name]["low"] <= actual.sum() <= scored[measure.name]["high"], measure.name
        inside = [
            state[measure.name]["low"] <= actual[rows[kind] == segment].sum() <= state[measure.name]["high"]
            for kind in KINDS
            for segment, state in of_segments(scored, kind).items()
        ]
        assert np.mean(inside) >= 0.85, measure.name


def test_without_features_a_job_is_done_and_has_no_totals(
    home: Home, champions: Champions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Home, "snapshots", property(lambda home: home.path / "nowhere"))
    job, store = score(home, champions), ScoreJobStore(home)
    done = store.find(job.id)
    assert done is not None
    assert done.status == "done"
    assert of_job.read(store, job) is None
    assert "patron build" in caplog.text
    store.delete(job.id)
