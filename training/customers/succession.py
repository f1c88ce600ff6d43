"""Whether a new version may answer: it surely beats the simplest baseline, and the version that answers now.

Both are told by a paired bootstrap over customers (:func:`models.measures.metrics.paired_bootstrap`), at
moments whose outcomes the fits that are compared could not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from core.errors import PatronError
from features.groups import FEATURES
from features.workspace import Workspace
from models.registry import recipes
from models.registry.bundle import FittedModel
from models.registry.registry import Registry
from models.spec import CustomerModel, Estimator
from training.customers.backtest import Backtest, OlderFit, aged, exams, tested, with_scores
from training.customers.dataset import gather
from training.customers.fitting import columns_of, fitted_for
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
    workspace: Workspace,
    registry: Registry,
    then: Backtest,
    asked: Sequence[TestSet],
    older: OlderFit | None,
    manifest: Mapping[str, Any],
) -> Comparison:
    """Whether a version may take over from the one that answers.

    The same recipe learnt anew takes over unless it is surely worse, as far as there are outcomes that the
    champion has not seen. Another recipe must surely be better: the champion's is fitted again on what the
    new one's test knew, and both answer the same customers.

    Args:
        asked: as :func:`training.customers.backtest.exams` gives them.
        manifest: of the version that is about to be published.
    """
    champion = next((v.version for v in registry.versions(then.model.name) if v.champion), None)
    if champion is None:
        return Comparison("no version answers yet", True, {})
    try:
        theirs = registry.open(then.model.name, champion)
        theirs.check_definitions(workspace.store.definitions())
    except PatronError:
        return Comparison(f"version {champion} cannot answer any longer, so is not compared", True, {})
    if not recipes.same_question(manifest, theirs.manifest):
        return Comparison(f"version {champion} answers another question, so is not compared", True, {})
    if recipes.same(manifest, theirs.manifest):
        return _refresh(then, asked[-1], theirs)
    estimator = recipes.made(theirs.manifest)
    if estimator is None:
        words = f"the recipe of version {champion} cannot be fitted again, so nothing says which ranks better"
        return Comparison(words, False, {})
    return _rivals(workspace, then, asked, older, theirs, estimator)


def _refresh(then: Backtest, test: TestSet, theirs: FittedModel) -> Comparison:
    same = f"the same recipe as version {theirs.version}, learnt anew"
    if then.parts.test < datetime.fromisoformat(theirs.manifest["as_of"]):
        return Comparison(f"{same}; all outcomes known were known to that one, too", True, {})
    scores = theirs.score(columns_of(then.exam))
    both = replace(test, scores={**test.scores, CHAMPION: scores})
    found = difference(then.model.kind, [both], OURS, CHAMPION)
    if found is None:
        return Comparison(f"{same}; outcomes since are too few to compare them", True, {})
    name = RANKING[then.model.kind][0]
    words = f"{same}; {name} over it is {found.words}, on outcomes new to both"
    if found.high >= 0:
        return Comparison(words, True, interval_metrics(f"{name}_over_{CHAMPION}", found))
    words = f"{words}: surely worse, so see what changed in the data"
    return Comparison(words, False, interval_metrics(f"{name}_over_{CHAMPION}", found))


def _rivals(
    workspace: Workspace,
    then: Backtest,
    asked: Sequence[TestSet],
    older: OlderFit | None,
    theirs: FittedModel,
    estimator: Estimator,
) -> Comparison:
    model = with_recipe(then.model, [c.name for c in theirs.columns], estimator)
    known = gather(
        workspace.store, fitted_for(model)[0], then.parts.fit, then.parts.horizon_days, then.parts.test
    )
    again = tested(workspace, model, then.parts, known)
    before = None if older is None else aged(workspace, again)
    both = with_scores(asked, exams(again, before, workspace.shop.time_zone), CHAMPION)
    return over_other_recipe(model.kind, both, theirs.version)


def with_recipe(model: CustomerModel, features: Sequence[str], estimator: Estimator) -> CustomerModel:
    """The model as it would be learnt from other features, or otherwise; held against no baseline."""
    read = tuple(FEATURES[name] for name in features)
    own = replace(model, features=read, estimator=lambda: estimator, baselines=())
    if model.complement_of is None:
        return own
    return replace(
        own, complement_of=replace(model.complement_of, features=read, estimator=lambda: estimator)
    )
