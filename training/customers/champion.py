"""Compares a new version of a customer model with the champion, before it is promoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from core.errors import PatronError
from features.groups import FEATURES
from features.workspace import Workspace
from models.estimator import Estimator
from models.registry import recipes
from models.registry.bundle import FittedModel
from models.registry.registry import Registry
from models.spec import CustomerModel
from training.customers.backtest import Backtest, add_scores, backtest_on, recipe_of
from training.customers.dataset import columns_of, gather_for_fit
from training.evaluation.compare import TestSet, difference
from training.evaluation.evaluate import RANKING
from training.evaluation.promotion_checks import (
    CHAMPION,
    OURS,
    Comparison,
    interval_metrics,
    over_other_recipe,
)


def over_champion(
    workspace: Workspace, registry: Registry,
    test: Backtest, test_sets: Sequence[TestSet], manifest: Mapping[str, Any],
) -> Comparison:  # fmt: skip
    """Whether a version may replace the champion.

    A refit of the champion's recipe replaces it unless it is significantly worse on outcomes new to both.
    Another recipe must be significantly better: the champion's recipe is refitted on the data known at the
    test's moment, and both fits score the same customers.

    Args:
        test_sets: the test sets of ``test``.
        manifest: the manifest of the version to be published.
    """
    champion = next((v.version for v in registry.versions(test.model.name) if v.champion), None)
    if champion is None:
        return Comparison("there is no champion yet", True, {})
    try:
        theirs = registry.open(test.model.name, champion)
        theirs.check_definitions(workspace.store.definitions())
    except PatronError:
        return Comparison(f"version {champion} cannot be used any more, so is not compared", True, {})
    if not recipes.same_question(manifest, theirs.manifest):
        return Comparison(f"version {champion} answers another question, so is not compared", True, {})
    if recipes.same(manifest, theirs.manifest):
        return _over_same_recipe(test, test_sets[-1], theirs)
    estimator = recipes.made(theirs.manifest)
    if estimator is None:
        words = f"the recipe of version {champion} cannot be refitted, so the two cannot be compared"
        return Comparison(words, False, {})
    return _over_refit(workspace, test, test_sets, theirs, estimator)


def _over_same_recipe(test: Backtest, test_set: TestSet, theirs: FittedModel) -> Comparison:
    same = f"the same recipe as version {theirs.version}, refitted"
    if test.split.test < datetime.fromisoformat(theirs.manifest["as_of"]):
        return Comparison(f"{same}; it knew all outcomes that are known now", True, {})
    scores = theirs.score(columns_of(test.frame))
    both = replace(test_set, scores={**test_set.scores, CHAMPION: scores})
    result = difference(test.model.kind, [both], OURS, CHAMPION)
    if result is None:
        return Comparison(f"{same}; outcomes since are too few to compare them", True, {})
    name = RANKING[test.model.kind][0]
    words = f"{same}; the difference in {name} is {result.words}, on outcomes new to both"
    metrics = interval_metrics(f"{name}_over_{CHAMPION}", result)
    if result.high >= 0:
        return Comparison(words, True, metrics)
    return Comparison(f"{words}: significantly worse; check what changed in the data", False, metrics)


def _over_refit(
    workspace: Workspace, test: Backtest, test_sets: Sequence[TestSet],
    theirs: FittedModel, estimator: Estimator,
) -> Comparison:  # fmt: skip
    model, split = with_recipe(test.model, [c.name for c in theirs.columns], estimator), test.split
    data = gather_for_fit(
        workspace.store, recipe_of(model)[0], split.fit, split.horizon_days, split.test, test.data.sample
    )
    refit = backtest_on(workspace, model, split, data)
    both = add_scores(test_sets, refit.test_sets(workspace.shop.time_zone), CHAMPION)
    return over_other_recipe(model.kind, both, theirs.version)


def with_recipe(model: CustomerModel, features: Sequence[str], estimator: Estimator) -> CustomerModel:
    """The model with other features and another estimator, and without baselines."""
    known = FEATURES | {feature.name: feature for feature in model.features}
    columns = tuple(known[name] for name in features)
    own = replace(model, features=columns, estimator=lambda: estimator, baselines=())
    if model.complement_of is None:
        return own
    opposite = replace(model.complement_of, features=columns, estimator=lambda: estimator)
    return replace(own, complement_of=opposite)
