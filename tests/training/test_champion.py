"""Promotion: comparisons with the simplest baseline and the champion, and the worst slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.calendar import day_of
from core.home import Home
from core.shop import Clock
from features.offline import snapshots
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.estimator import Array
from models.estimators.contest import probability_blend
from models.estimators.trees import CalibratedTrees
from models.measures.metrics import auc
from models.questions import MODELS, every
from models.questions.gates import WORST_SLICE
from models.registry import promotion, recipes
from models.registry.registry import Registry
from models.registry.versions import ModelVersion
from models.spec import Baseline, CustomerModel
from training.customers.backtest import OLDER_FIT_MONTHS, backtest, prepare
from training.customers.horizon import with_horizon
from training.customers.pipeline import train
from training.evaluation.compare import TestSet
from training.evaluation.evaluate import evaluate
from training.evaluation.promotion_checks import CHAMPION, OURS, over_baseline, over_other_recipe
from training.reports.stability import TOO_SHORT, ages, table

propensity = MODELS["propensity"]


def exam(ours: Array, other: Array, label: Array, name: str) -> TestSet:
    frame = pd.DataFrame({"customer_key": np.arange(len(label)), "label": label})
    return TestSet("2024-01-01", (), frame, {OURS: ours, name: other})


def drawn(customers: int, seed: int = 5) -> tuple[Array, Array, Array]:
    """Outcomes, an informative score, and an uninformative one."""
    dice = np.random.default_rng(seed)
    label = (dice.random(customers) < 0.3).astype(np.float64)
    return label, label + dice.normal(0, 1, customers), dice.normal(0, 1, customers)


# The simplest baseline


def test_a_version_passes_only_if_it_ranks_significantly_better_than_the_first_baseline() -> None:
    label, good, noise = drawn(600)
    passed = over_baseline(propensity, [exam(good, noise, label, "recency")])
    assert passed.passed
    assert passed.metrics["auc_over_recency_low"] > 0
    assert passed.words.startswith("auc over recency is +0.")
    for ours, other in ((noise, good), (good, good), (noise, np.roll(noise, 1))):
        refused = over_baseline(propensity, [exam(ours, other, label, "recency")])
        assert not refused.passed
        assert "must be significantly above 0" in refused.words
    few = over_baseline(propensity, [exam(good[:30], noise[:30], label[:30], "recency")])
    assert (few.passed, few.metrics) == (False, {})
    assert "there are too few outcomes" in few.words


def test_several_moments_narrow_the_interval() -> None:
    several = [exam(good, noise, label, "recency") for label, good, noise in map(drawn, [90] * 4, range(4))]
    apart = [over_baseline(propensity, [one]).metrics for one in several]
    together = over_baseline(propensity, several)
    width = together.metrics["auc_over_recency_high"] - together.metrics["auc_over_recency_low"]
    assert all(width < one["auc_over_recency_high"] - one["auc_over_recency_low"] for one in apart)
    assert " at 4 moments" in together.words
    # Outcomes that are too few at each moment may suffice together.
    few = [exam(good, noise, label, "recency") for label, good, noise in map(drawn, [50] * 4, range(4))]
    assert all(5 <= one.frame["label"].sum() < 20 for one in few)
    assert over_baseline(propensity, few[:1]).metrics == {}
    assert "auc_over_recency_low" in over_baseline(propensity, few).metrics


def test_a_model_that_does_not_beat_the_simplest_baseline_needs_force(
    built_shop: Home, built: SnapshotSet, copy_home: Callable[[Home], Home]
) -> None:
    """A model whose first baseline is its only feature, so that it cannot be better."""
    home = copy_home(built_shop)
    registry = Registry(home)
    reads = replace(
        propensity,
        features=tuple(f for f in propensity.features if f.name == "recency_days"),
        baselines=propensity.baselines[:1],
        estimator=lambda: CalibratedTrees(rounds=3),
    )
    version = train(Workspace(home, built), reads, registry)
    (*_, text_value) = version.failed_gates
    assert text_value.startswith("auc over recency is ")
    assert not version.champion
    with pytest.raises(promotion.GatesFailed, match="a model must beat the simplest baseline"):
        promotion.promote(registry, "propensity", "1", "it is quick")
    assert promotion.promote(registry, "propensity", "1", "it is quick", force=True).forced
    # The usual recipe ranks significantly better than that one, which is refitted from its manifest.
    assert train(Workspace(home, built), propensity, registry).champion
    assert registry.promotions("propensity")[-1].why.startswith(
        "passed its gates; version 1, the champion, has another recipe: the difference in auc is +0."
    )


# The champion


def test_another_recipe_must_be_significantly_better() -> None:
    label, good, noise = drawn(600)
    better = over_other_recipe("probability", [exam(good, noise, label, CHAMPION)], "3")
    assert better.passed
    assert better.words.startswith(
        "version 3, the champion, has another recipe: the difference in auc is +0."
    )
    for ours, other in ((good, good), (noise, good)):
        stored = over_other_recipe("probability", [exam(ours, other, label, CHAMPION)], "3")
        assert not stored.passed
        assert "must be significantly above 0 to replace it" in stored.words


def trained_on(home: Home, model: CustomerModel, now: datetime) -> ModelVersion:
    """Train the model with the shop's clock at a moment."""
    home.write_shop(replace(home.shop(), clock=Clock(now)))
    return train(Workspace(home, snapshots.build(home)), model, Registry(home))


def test_a_refit_replaces_the_champion_and_a_poorer_recipe_does_not(
    two_versions: Home, tmp_path: Path
) -> None:
    registry = Registry(two_versions)
    poorer, first = registry.versions("propensity")
    assert (first.champion, first.not_promoted_because) == (True, "")
    assert (poorer.champion, poorer.failed_gates) == (False, ())
    assert poorer.not_promoted_because.startswith(
        "version 1, the champion, has another recipe: the difference in auc is "
    )
    assert poorer.metrics["auc_over_champion_low"] <= 0
    (move,) = registry.promotions("propensity")
    assert move.why == "passed its gates; there is no champion yet"


@pytest.mark.slow
def test_a_refit_replaces_the_champion_unless_it_is_significantly_worse(
    trained_copy: Home, built: SnapshotSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(trained_copy)
    again = train(Workspace(trained_copy, built), propensity, registry)
    assert again.champion
    assert registry.promotions("propensity")[-1].why == (
        "passed its gates; the same recipe as version 1, refitted; it knew all outcomes that are known now"
    )
    # A champion trained months ago has not seen the outcomes since then, so it is compared on them.
    now = trained_copy.shop().clock.frozen_at
    assert now is not None
    old = trained_on(trained_copy, propensity, datetime(2024, 3, 10, tzinfo=UTC))
    assert old.champion
    fresh = trained_on(trained_copy, propensity, now)
    assert fresh.champion
    assert "auc_over_champion_high" in fresh.metrics
    assert "on outcomes new to both" in registry.promotions("propensity")[-1].why


def test_versions_of_another_question_or_of_features_that_are_gone_are_not_compared(
    trained_copy: Home, built: SnapshotSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, workspace = Registry(trained_copy), Workspace(trained_copy, built)
    longer = train(workspace, with_horizon(propensity, 60), registry)
    assert longer.champion
    assert "version 1 answers another question" in registry.promotions("propensity")[-1].why
    definitions = workspace.store.definitions()
    changed = definitions | {"recency_days": "another"}
    monkeypatch.setattr(workspace.store, "definitions", lambda: changed)
    back = train(workspace, propensity, registry)
    assert back.champion
    assert "version 2 cannot be used any more" in registry.promotions("propensity")[-1].why


def test_a_version_that_passed_its_gates_is_promoted_by_the_user_without_force(
    two_versions: Home, copy_home: Callable[[Home], Home], run_patron: Callable[..., tuple[int, str, str]]
) -> None:
    home = copy_home(two_versions)
    code, text_value, _ = run_patron(home, "models", "propensity")
    assert code == 0
    assert "passed its gates, not promoted: version 1, the champion, has another recipe" in text_value
    code, text_value, _ = run_patron(home, "promote", "propensity", "2", "--why", "it is easier to vouch for")
    assert (code, text_value.split(" is the champion")[0]) == (0, "propensity version 2")
    assert not Registry(home).promotions("propensity")[-1].forced


def test_recipes_are_compared_and_rebuilt_from_their_manifests() -> None:
    blend = probability_blend()
    given = recipes.described(blend)
    assert recipes.made({"estimator": given}) == blend
    assert recipes.made({}) is None
    column = {"name": "orders_total", "definition": "a"}
    one = {"estimator": given, "features": [column]}
    assert recipes.same(one, {"features": [column | {"vocabulary": ["x"]}]})
    assert not recipes.same(one, one | {"estimator": recipes.described(replace(blend, rounds=9))})
    assert not recipes.same(one, one | {"features": [column | {"definition": "b"}]})
    assert not recipes.same(one, one | {"features": [column, column | {"name": "orders_90d"}]})


@pytest.mark.parametrize("name", list(MODELS))
def test_the_card_lists_the_comparisons_of_a_version(name: str, trained_shop: Home) -> None:
    version = Registry(trained_shop).versions(name)[0]
    text = (trained_shop.mlflow / "artifacts" / version.run_id / "artifacts" / "card.md").read_text()
    section = text.partition("## Compared with\n")[2].partition("\n\n")[0].splitlines()
    model = MODELS[name]
    measure = "gini" if model.kind == "money" else "auc"
    assert section[0].startswith(f"- {measure} over {model.baselines[0].name} is ")
    assert section[1] == "- there is no champion yet"


# The worst slice


def customers_of(first: Array, second: Array, label: Array) -> tuple[pd.DataFrame, Array]:
    """Two channels of customers, and the scores of each."""
    frame = pd.DataFrame(
        {
            "customer_key": np.arange(2 * len(label)),
            "acquisition_channel": np.repeat(["search", "social"], len(label)),
            "label": np.tile(label, 2),
        }
    )
    return frame, np.concatenate([first, second])


def gated(frame: pd.DataFrame, score: Array) -> tuple[str, ...]:
    model = replace(propensity, gates=WORST_SLICE["probability"], baselines=())
    return evaluate(model, frame, 30, score).failed_gates(model)


def test_a_gate_fails_for_a_slice_that_is_ranked_worse_than_chance_or_badly_calibrated() -> None:
    dice = np.random.default_rng(2)
    label = (dice.random(400) < 0.3).astype(np.float64)
    good = np.clip(0.25 + 0.2 * label + dice.normal(0, 0.05, 400), 0.01, 0.99)
    backwards = np.clip(0.35 - 0.2 * label + dice.normal(0, 0.05, 400), 0.01, 0.99)
    assert gated(*customers_of(good, good, label)) == ()
    (text_value,) = gated(*customers_of(good, backwards, label))
    assert text_value.startswith("worst_slice_auc (channel social) is ")
    assert "and must be at least 0.5: no part of the customers" in text_value
    (text_value,) = gated(*customers_of(good / 6, good, label))
    assert text_value.startswith("worst_slice_level (channel search) is ")
    assert "and must be at most 2: " in text_value


def test_small_slices_do_not_fail_the_gate() -> None:
    dice = np.random.default_rng(4)
    label = np.tile([1.0, 0.0, 0.0], 100)
    noise = dice.uniform(0.2, 0.45, 300)
    assert auc(label, noise) < 0.53
    assert gated(*customers_of(noise, noise, label)) == ()
    few = np.zeros(300)
    few[:10] = 1  # ten outcomes in a slice are too few, so all customers are reported
    frame, score = customers_of(1 - few, 1 - few, few)
    (text_value,) = gated(frame.iloc[:300], score[:300])[:1]
    assert text_value.startswith("worst_slice_auc (all customers) is 0 ")


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_a_test_in_which_all_outcomes_are_equal_fails_the_gates(outcome: float) -> None:
    noise = np.random.default_rng(4).uniform(0.2, 0.45, 300)
    assert [
        words.partition(": ")[0] for words in gated(*customers_of(noise, noise, np.full(300, outcome)))
    ] == [
        f"{name} (all customers) cannot be computed from the outcomes of the test"
        for name in ("worst_slice_auc", "worst_slice_level")
    ]


@pytest.mark.parametrize("model", every().values(), ids=every())
def test_every_model_has_the_gates_of_the_worst_slice(model: CustomerModel) -> None:
    assert set(WORST_SLICE[model.kind]) <= set(model.gates)


def test_slices_of_a_shop_are_of_segment_tenure_channel_and_country(trained_shop: Home) -> None:
    run_id = Registry(trained_shop).versions("propensity")[0].run_id
    (document,) = trained_shop.mlflow.rglob(f"{run_id}/**/slices.json")
    for named in ("known for", "last order", "value tier", "lifecycle stage", "channel", "country"):
        assert f'"of": "{named} ' in document.read_text()


# How a fit ages


def test_an_older_fit_scores_each_month_until_the_test_and_knows_no_outcome_of_them(
    built_shop: Home, built: SnapshotSet
) -> None:
    zone = built_shop.shop().time_zone
    workspace = Workspace(built_shop, built)
    test = backtest(workspace, prepare(workspace, propensity))
    older = test.older
    assert older is not None
    months = [*test.split.all[-1 - OLDER_FIT_MONTHS :]]
    assert older.fitted_at == months[0]
    assert sorted(older.frame["as_of"].unique()) == [pd.Timestamp(month) for month in months]
    rows = ages("probability", propensity.baselines[0], 30, older, zone)
    days = [day_of(month, zone) - day_of(months[0], zone) for month in months]
    assert [row.days for row in rows] == days
    assert 85 < days[-1] < 95
    part = older.frame[older.frame["as_of"] == pd.Timestamp(months[1])]
    label, score = part["label"].to_numpy(np.float64), part["score"].to_numpy(np.float64)
    assert rows[1].measure == auc(label, score)
    assert rows[1].baseline == auc(label, -part["recency_days"].to_numpy(np.float64))
    assert rows[1].total_ratio == pytest.approx(score.sum() / label.sum())
    text_value = table("probability", "recency", rows).splitlines()
    assert len(text_value) == 1 + len(rows)
    assert text_value[2].split()[:2] == [str(days[1]), "days"]
    # Before the test's moment the scores are the older fit's, at that moment the tested fit's.
    test_sets = test.test_sets(zone)
    assert [test_set.origin for test_set in test_sets] == [row.asked_on for row in rows]
    assert np.array_equal(test_sets[1].scores[OURS], score)
    assert np.array_equal(test_sets[-1].scores[OURS], test.frame["score"])


def test_a_history_too_short_for_an_older_fit_is_reported(built_shop: Home, built: SnapshotSet) -> None:
    workspace = Workspace(built_shop, built)
    test = backtest(workspace, prepare(workspace, with_horizon(MODELS["clv"], 365)))
    assert test.older is None
    no_baseline = Baseline("none", lambda frame, _days: frame["label"])
    assert ages("money", no_baseline, 365, None, "UTC") == ()
    assert table("money", "none", ()) == TOO_SHORT
    assert [test_set.origin for test_set in test.test_sets("UTC")] == ["2023-06-30"]
