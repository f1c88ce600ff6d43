"""train(model): read the rows, backtest, fit, compare with the champion, publish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from core.home import Home
from core.progress import Progress, silent
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.estimator import Estimator
from models.estimators.blend import FittedBlend
from models.measures import reference
from models.questions.next_order import KEY as NEXT_ORDER
from models.registry import recipes
from models.registry.bundle import FittedModel, pack
from models.registry.encoding import matrix
from models.registry.registry import Registry
from models.registry.versions import SAMPLE_SHARE, ModelVersion, TrainingRun
from models.spec import CustomerModel
from training.customers import next_order
from training.customers.backtest import Backtest, Preparation, backtest, fit, prepare
from training.customers.card_facts import card_facts
from training.customers.champion import over_champion
from training.customers.dataset import Dataset, columns_of
from training.customers.order_probability import order_measures, order_sections, parts_of, with_order
from training.customers.own_estimator import not_servable_because
from training.customers.split import Split
from training.evaluation import tenths
from training.evaluation.card import card
from training.evaluation.evaluate import Evaluation, evaluate
from training.evaluation.influence import influence_of
from training.evaluation.levels import level_row
from training.evaluation.plots import plots
from training.evaluation.promotion_checks import OURS, Comparison, over_baseline
from training.publishing import code_version, provenance, publish
from training.reports.reports import ModelReport, report_of


@dataclass(frozen=True)
class TestResults:
    """The results of a recipe's backtest.

    Attributes:
        waits: the rates that predict the next order's day; None if the model does not predict it.
    """

    test: Backtest
    evaluation: Evaluation
    report: ModelReport
    waits: next_order.NextOrderFit | None


def train(
    workspace: Workspace,
    model: CustomerModel,
    registry: Registry,
    progress: Progress = silent,
) -> ModelVersion:
    """Backtest a model, fit it on all known labels, and publish it.

    It is promoted if it passes every gate, beats the simplest baseline significantly, and may replace the
    champion (:mod:`training.customers.champion`). The published version is fitted on all labels known now;
    its metrics are those of the same recipe fitted on the data known at the test's moment.

    Raises:
        PatronError: the history or the outcomes do not suffice; the message says what is missing.
    """
    progress(f"{model.name}: dataset", 0.05)
    prepared = prepare(workspace, model)
    progress(f"{model.name}: test fits and evaluation", 0.2)
    results = _test(workspace, prepared)
    progress(f"{model.name}: final fit", 0.6)
    final = with_order(workspace.home, prepared.data, fit(prepared.data, prepared.complement, "final"))
    manifest = _manifest(prepared, final, workspace.snapshots)
    if results.waits and results.waits.rates:
        manifest[NEXT_ORDER] = results.waits.rates.as_dict()
    final = replace(final, manifest=manifest)

    progress(f"{model.name}: comparison with baseline and champion", 0.85)
    test_sets = results.test.test_sets(workspace.shop.time_zone)
    baseline = over_baseline(prepared.model, test_sets)
    champion = over_champion(workspace, registry, results.test, test_sets, manifest)
    failed = results.evaluation.failed_gates(prepared.model) + (() if baseline.passed else (baseline.words,))
    failed += not_servable_because(final.fitted)

    progress(f"{model.name}: publishing", 0.9)
    run = _run(workspace.home, results, prepared.data, final, (baseline, champion), failed)

    def publish_features(version: ModelVersion) -> None:
        workspace.store.publish_service(f"{model.name}_v{version.version}", final.features)

    bundle = _bundle(final, workspace.snapshots)
    version = publish(registry, model.name, bundle, run, failed, champion, publish_features)
    progress(f"{model.name}: done", 1.0)
    return version


def _test(workspace: Workspace, prepared: Preparation) -> TestResults:
    """Backtest the recipe, and evaluate its scores."""
    test, model = backtest(workspace, prepared), prepared.model
    test = replace(test, fitted=with_order(workspace.home, test.data, test.fitted))
    scores = test.frame["score"].to_numpy(np.float64)
    interval = test.fitted.interval(scores, parts_of(test.fitted, test.frame))
    evaluation = evaluate(model, test.frame, test.split.horizon_days, scores, interval)
    levels = [
        level_row(moment.origin, moment.frame, moment.scores[OURS])
        for moment in test.test_sets(workspace.shop.time_zone)
    ]
    evaluation = evaluation.with_levels([row for row in levels if row], test.fitted.level.get("sd"))
    moments = prepared.split.all
    waits = next_order.learn(workspace, model, moments) if model.tells_next_order else None
    return TestResults(test, evaluation, report_of(workspace, test), waits)


def _run(
    home: Home, results: TestResults, data: Dataset, final: FittedModel, comparisons: tuple[Comparison, ...],
    failed_gates: tuple[str, ...],
) -> TrainingRun:  # fmt: skip
    """The MLflow record of a training, without the bundle."""
    shop, model, waits = home.shop(), results.test.model, results.waits
    metrics = dict(results.evaluation.metrics) | (dict(waits.measures) if waits else {})
    metrics |= order_measures(results.test.fitted, results.test.frame)
    for comparison in comparisons:
        metrics |= comparison.metrics
    if data.sample is not None:
        metrics[SAMPLE_SHARE] = data.sample.share
    evaluation = replace(results.evaluation, metrics=metrics)
    split = results.test.split.in_time_zone(shop.time_zone)
    report = replace(results.report, unused=final.unused)
    facts = card_facts(model, split, evaluation, data)
    words = [comparison.words for comparison in comparisons]
    tested = results.test.fitted
    influence = influence_of(tested, matrix(tested.columns, columns_of(results.test.frame)), model.kind)
    unit = "probability" if model.kind == "probability" else shop.currency
    figures = plots(evaluation, unit) | tenths.figures(evaluation.tenths) | influence.figures()
    findings = [*order_sections(tested, results.test.frame), influence.section(), *report.sections()]
    return TrainingRun(
        parameters=_parameters(data.model, split)
        | chosen(final)
        | ({NEXT_ORDER: waits.why} if waits else {}),
        metrics=evaluation.metrics,
        tags={
            "data_digest": data.digest(),
            "code_version": code_version(),
            "as_of": f"{data.known_at:%Y-%m-%dT%H:%M:%SZ}",
        },
        figures=figures,
        documents={**evaluation.documents(), "report": report.as_dict()},
        texts={"card.md": card(model, facts, evaluation, failed_gates, words, findings, figures)},
    )


def _parameters(model: CustomerModel, split: Split) -> dict[str, Any]:
    return {
        "horizon_days": split.horizon_days,
        "fit_origins": f"{split.fit[0]:%Y-%m-%d} to {split.fit[-1]:%Y-%m-%d} ({len(split.fit)})",
        "test_origin": f"{split.test:%Y-%m-%d}",
        "final_origins": len(split.all),
        "features": len(model.features),
    } | settings_of(model.estimator())


def chosen(final: FittedModel) -> dict[str, Any]:
    """The selected candidate of a blend, as recorded in a run."""
    return {"candidate": final.fitted.chosen["candidate"]} if isinstance(final.fitted, FittedBlend) else {}


def settings_of(estimator: Estimator) -> dict[str, Any]:
    """An estimator's settings by name, as recorded in a run."""
    own = {name: value for name, value in vars(estimator).items() if name != "parameters"}
    return {"estimator": type(estimator).__name__} | own | getattr(estimator, "parameters", {})


def _manifest(prepared: Preparation, final: FittedModel, built: SnapshotSet) -> dict[str, Any]:
    """The manifest of a bundle, without the fields that depend on its scores."""
    model = prepared.model
    return dict(final.manifest) | {
        "model": model.name,
        # Fitted on the recipe's customers, but applied to the model's own.
        "eligible": [condition.as_dict() for condition in model.eligible],
        "estimator": recipes.described(prepared.recipe.estimator()),
        "question": model.question,
        "meaning": model.meaning.format(days=prepared.split.horizon_days),
        "kind": model.kind,
        "horizon_days": prepared.split.horizon_days,
        "as_of": built.current.isoformat(),
    }


def _bundle(final: FittedModel, built: SnapshotSet) -> dict[str, bytes]:
    """The files to publish, with today's population as the reference for drift."""
    today = built.everyone(built.current)
    scores = pd.Series(final.score(columns_of(today)), index=today.index)
    eligible = np.array([reason is None for reason in final.refusals(columns_of(today))])
    described = today[list(final.features)].assign(score=scores.where(eligible))
    own = provenance(np.asarray(scores[eligible] if eligible.any() else scores, np.float64))
    return pack({**final.manifest, **own}, final.fitted, reference.describe(described), final.order)
