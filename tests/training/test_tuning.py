"""Tuning: inner splits by time, recorded trials, and training with the best one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from core.calendar import day_of
from core.errors import PatronError
from core.home import Home
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.questions import MODELS
from models.registry.registry import Registry
from models.registry.training_runs import EXPERIMENT
from training.customers import tuning
from training.customers.backtest import split_history
from training.customers.dataset import Dataset
from training.customers.split import Split
from training.customers.tuning import inner_splits, tune


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry of its own, without a version."""
    return Registry(Home(tmp_path / "home"))


def test_inner_splits_know_nothing_of_their_own_test_nor_of_the_model_s(
    built_shop: Home, built: SnapshotSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    request: list[tuple[list[datetime], int, datetime]] = []
    gather = tuning.gather

    def watched(store: Any, model: Any, as_ofs: Any, days: int, known_at: datetime, sample: Any) -> Dataset:
        request.append((list(as_ofs), days, known_at))
        return gather(store, model, as_ofs, days, known_at, sample)

    monkeypatch.setattr(tuning, "gather", watched)
    propensity, zone = MODELS["propensity"], built_shop.shop().time_zone
    workspace = Workspace(built_shop, built)
    parts = split_history(workspace, propensity)
    splits = inner_splits(workspace, propensity, parts)
    assert len(splits) == tuning.MAX_SPLITS
    for learnt, exam in zip(request[::2], request[1::2], strict=True):
        (moment,) = exam[0]
        assert moment in parts.fit
        assert learnt[2] == moment
        assert exam[2] == parts.test
        assert all(day_of(t, zone) + learnt[1] <= day_of(moment, zone) for t in learnt[0])
    assert all(len(s.x) == len(s.y) > len(s.x_test) == len(s.outcome) for s in splits)
    short = Split(parts.horizon_days, parts.fit[:1], parts.test, parts.all)
    with pytest.raises(PatronError, match="too short to tune on: of the 1 training months"):
        inner_splits(workspace, propensity, short)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "trials"), [("propensity", 7), ("churn", 2)])
def test_every_trial_is_recorded_below_the_search_and_the_best_is_trained_with(
    name: str, trials: int, built_shop: Home, built: SnapshotSet, copy_home: Callable[[Home], Home]
) -> None:
    home = copy_home(built_shop)
    registry, given = Registry(home), list[float]()
    workspace = Workspace(home, built)
    tuned = tune(workspace, MODELS[name], registry, trials, progress=lambda _words, done: given.append(done))
    assert tuned.best >= tuned.usual
    assert (tuned.trials, tuned.measure) == (trials, "auc")
    client = registry.mlflow.client
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    runs = client.search_runs([experiment])
    (search,) = (r for r in runs if r.info.run_name == f"{name} search")
    below = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == search.info.run_id]
    assert len(below) == trials
    assert {r.info.status for r in [search, *below]} == {"FINISHED"}
    assert sum(r.data.tags["state"] == "pruned" for r in below) == tuned.pruned
    assert max(r.data.metrics["inner_auc"] for r in below if r.data.tags["state"] == "complete") == tuned.best
    (version,) = registry.versions(name)
    learnt = client.get_run(version.run_id).data.params
    assert {key: float(learnt[key]) for key in tuned.settings} == pytest.approx(tuned.settings)
    assert given[0] < given[trials - 1] <= 1
