"""train(model): dataset, fit, evaluate, gate, publish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from core.home import Home
from core.progress import Progress, silent
from features.offline import segment_overview as segments
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.estimators.blend import FittedBlend
from models.measures import bins
from models.questions.next_order import KEY as NEXT_ORDER
from models.registry import recipes
from models.registry.bundle import FittedModel, pack
from models.registry.registry import Registry
from models.registry.versions import ModelVersion, TrainingRun
from models.spec import CustomerModel, Estimator
from training.customers import next_order
from training.customers.backtest import Backtest, OlderFit, aged, exams, tested
from training.customers.card_facts import card_facts
from training.customers.dataset import Dataset, Split, as_known, gather
from training.customers.fitting import asked_with, columns_of, fit, fitted_for, moments_of, refuse_if_poor
from training.customers.succession import over_champion
from training.evaluation.card import card
from training.evaluation.evaluate import Evaluation, evaluate
from training.evaluation.plots import plots
from training.evaluation.promotion_checks import Comparison, over_baseline
from training.publishing import code_version, provenance, publish
from training.reports.reports import Report, report_of


@dataclass(frozen=True)
class TestResults:
    """What the recipe showed when it was fitted on what was known at the test's moment, and before.

    Attributes:
        older: the same recipe some months before; None where the history is too short.
        waits: what is learnt beside it of the next order's day; None where the model does not tell that.
    """

    then: Backtest
    older: OlderFit | None
    evaluation: Evaluation
    report: Report
    waits: next_order.Learnt | None


def train(
    workspace: Workspace, model: CustomerModel, registry: Registry, progress: Progress = silent
) -> ModelVersion:
    """Learn from what is known now, test by time, and publish.

    It is promoted if every gate opens and it surely beats the simplest baseline, unless it is held back by
    the version that answers now (:mod:`training.customers.succession`). The version published is
    fitted on all labels
    known; its measures are those of the same recipe fitted only on what was known at the test's moment.

    Raises:
        PatronError: the history or the outcomes do not suffice; says what is missing.
    """
    parts = moments_of(workspace, model)
    model = asked_with(model, parts.horizon_days)
    recipe, complement = fitted_for(model)
    progress(f"{model.name}: dataset", 0.05)
    data = gather(workspace.store, recipe, parts.all, parts.horizon_days, workspace.snapshots.current)
    refuse_if_poor(model, data)
    progress(f"{model.name}: test fits and evaluation", 0.2)
    shown = _show(workspace, model, parts, data)
    progress(f"{model.name}: final fit", 0.6)
    final = fit(data, complement, "final")
    manifest = _manifest(model, recipe, final, workspace.snapshots, parts)
    if shown.waits and shown.waits.rates:
        manifest[NEXT_ORDER] = shown.waits.rates.as_dict()
    final = replace(final, manifest=manifest)

    progress(f"{model.name}: held against baseline and champion", 0.85)
    asked = exams(shown.then, shown.older, workspace.shop.time_zone)
    simplest = over_baseline(model, asked)
    champion = over_champion(workspace, registry, shown.then, asked, shown.older, manifest)
    refusals = shown.evaluation.refusals(model) + (() if simplest.passed else (simplest.words,))

    progress(f"{model.name}: publishing", 0.9)
    run = _run(workspace.home, shown, data, final, (simplest, champion), refusals)

    def publish_features(version: ModelVersion) -> None:
        workspace.store.publish_service(f"{model.name}_v{version.version}", final.features)

    bundle = _bundle(final, workspace.snapshots)
    version = publish(registry, model.name, bundle, run, refusals, champion, publish_features)
    progress(f"{model.name}: done", 1.0)
    return version


def _show(workspace: Workspace, model: CustomerModel, parts: Split, data: Dataset) -> TestResults:
    """Fit the recipe on what was known at the test's moment, and earlier, and look at what it says."""
    known = as_known(workspace.home, data, parts.fit, parts.test)
    then = tested(workspace, model, parts, known)
    older = aged(workspace, then)
    scores = then.exam["score"].to_numpy(np.float64)
    evaluation = evaluate(model, then.exam, parts.horizon_days, scores, then.fitted.interval(scores))
    waits = next_order.learn(workspace, model, parts.all) if model.tells_next_order else None
    return TestResults(then, older, evaluation, report_of(workspace, then, older), waits)


def _run(
    home: Home, shown: TestResults, data: Dataset, final: FittedModel, verdicts: tuple[Comparison, ...],
    refusals: tuple[str, ...],
) -> TrainingRun:  # fmt: skip
    """What is recorded of a training beside the bundle."""
    shop, model = home.shop(), shown.then.model
    waits = shown.waits
    metrics = [shown.evaluation.metrics, *([waits.measures] if waits else []), *(v.metrics for v in verdicts)]
    evaluation = replace(shown.evaluation, metrics={k: v for each in metrics for k, v in each.items()})
    local = shown.then.parts.told_in(shop.time_zone)
    report = replace(shown.report, unused=final.unused)
    about = card_facts(model, local, evaluation, data.digest())
    words = [verdict.words for verdict in verdicts]
    return TrainingRun(
        parameters=_parameters(data.model, local)
        | chosen(final)
        | ({NEXT_ORDER: waits.why} if waits else {}),
        metrics=evaluation.metrics,
        tags={
            "data_digest": data.digest(),
            "code_version": code_version(),
            "as_of": f"{data.known_at:%Y-%m-%dT%H:%M:%SZ}",
        },
        figures=plots(evaluation, "probability" if model.kind == "probability" else shop.currency),
        documents={**evaluation.documents(), "report": report.as_dict()},
        texts={"card.md": card(model, about, evaluation, refusals, words, report.sections())},
    )


def _parameters(model: CustomerModel, parts: Split) -> dict[str, Any]:
    return {
        "horizon_days": parts.horizon_days,
        "fit_origins": f"{parts.fit[0]:%Y-%m-%d} to {parts.fit[-1]:%Y-%m-%d} ({len(parts.fit)})",
        "test_origin": f"{parts.test:%Y-%m-%d}",
        "final_origins": len(parts.all),
        "features": len(model.features),
    } | settings_of(model.estimator())


def chosen(final: FittedModel) -> dict[str, Any]:
    """Which candidate a blend became, as a run records it."""
    return {"candidate": final.fitted.chosen["candidate"]} if isinstance(final.fitted, FittedBlend) else {}


def settings_of(estimator: Estimator) -> dict[str, Any]:
    """An estimator's settings by name, as a run records them."""
    own = {name: value for name, value in vars(estimator).items() if name != "parameters"}
    return {"estimator": type(estimator).__name__} | own | getattr(estimator, "parameters", {})


def _manifest(
    model: CustomerModel, recipe: CustomerModel, final: FittedModel, built: SnapshotSet, parts: Split
) -> dict[str, Any]:
    """What a bundle says of itself, as far as that needs no scores."""
    return dict(final.manifest) | {
        "model": model.name,
        # Learnt from the recipe's customers, it answers for the model's own.
        "eligible": [condition.as_dict() for condition in model.eligible],
        "estimator": recipes.described(recipe.estimator()),
        "question": model.question,
        "meaning": model.meaning.format(days=parts.horizon_days),
        "kind": model.kind,
        "horizon_days": parts.horizon_days,
        "as_of": built.current.isoformat(),
    }


def _bundle(final: FittedModel, built: SnapshotSet) -> dict[str, bytes]:
    """The files to publish, with the population of today as the reference for drift."""
    today = segments.everyone(built, built.current)
    scores = pd.Series(final.score(columns_of(today)), index=today.index)
    asked = np.array([reason is None for reason in final.refusals(columns_of(today))])
    described = today[list(final.features)].assign(score=scores.where(asked))
    own = provenance(np.asarray(scores[asked] if asked.any() else scores, np.float64))
    return pack({**final.manifest, **own}, final.fitted, bins.describe(described))
