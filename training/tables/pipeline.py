"""train_table(data): hold out, choose, fit, evaluate, gate, publish."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from models.estimators.own.fitted import FittedOwn
from models.estimators.target_encoding import FittedTargetEncodedTrees
from models.estimators.trees import FittedTrees
from models.measures import reference
from models.questions import every
from models.registry.bundle import FittedModel, pack
from models.registry.other_models import OTHER_MODELS
from models.registry.registry import Registry
from models.registry.versions import TABLE_TAG, ModelVersion, TrainingRun
from training.customers.own_estimator import not_servable_because, usable_definition
from training.customers.pipeline import settings_of
from training.evaluation import tenths
from training.evaluation.card import card
from training.evaluation.influence import influence_of
from training.evaluation.plots import plots
from training.publishing import provenance, publish, run_tags
from training.tables.champion import ESTIMATOR, over_champion, recipe_of
from training.tables.configurations import OwnConfiguration
from training.tables.examination import Examination, TableModel, examine, fit
from training.tables.facts import card_facts, notes_of
from training.tables.high_cardinality import with_encoded_categories
from training.tables.holdouts import hold_out
from training.tables.labelled import Labelled, digest

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


@dataclass(frozen=True)
class Trained:
    """A trained version of a table's model.

    Attributes:
        notes: notes and warnings, as text.
        left_out: the reason for each column that it does not use.
    """

    version: ModelVersion
    notes: tuple[str, ...]
    left_out: dict[str, str]


def train_table(
    home: Home,
    registry: Registry,
    data: Labelled,
    name: str | None = None,
    progress: Progress = silent,
    estimator: str | None = None,
) -> Trained:
    """Train on a table with one row per customer and a known outcome, test, and publish.

    The test is on the last fifth by time, or without times on a random fifth. The version is promoted if it
    passes every gate, unless the champion ranks better. The published version is fitted on all rows with a
    known outcome.

    Args:
        name: the model's; derived from the file's name by default.
        estimator: the user's own, see :mod:`models.estimators.own.definition`; None for trees.

    Raises:
        PatronError: the name is taken, the held-out part has too few outcomes, or the estimator cannot be
            used; the message says which.
    """
    name = _name(registry, data.table.name, name)
    own = None if estimator is None else OwnConfiguration(usable_definition(estimator))
    holdout = hold_out(data)
    data = with_encoded_categories(data, holdout.fit, encode=own is None)
    progress(f"{name}: choosing, test fit and evaluation", 0.1)
    model, exam = examine(name, data, holdout, own)
    champion = over_champion(registry, name, data, holdout, exam)
    evaluation = replace(exam.evaluation, metrics={**exam.evaluation.metrics, **champion.metrics})
    progress(f"{name}: final fit", 0.8)
    final = fit(name, data, np.arange(len(data.y)), exam.configuration, "final")
    failed = exam.evaluation.failed_gates(model) + not_servable_because(final.fitted)
    x, moment = data.x(final.columns), registry.moment()
    gains = _gains(final)
    notes = notes_of(data, exam, gains)
    progress(f"{name}: publishing", 0.9)
    influence = influence_of(final, x[holdout.test], data.kind)
    unit = "probability" if data.kind == "probability" else currency(home)
    facts = card_facts(model, data, holdout, notes, digest(x, data.y))
    figures = plots(evaluation, unit) | tenths.figures(evaluation.tenths) | influence.figures()
    text = card(model, facts, evaluation, failed, [champion.words], [influence.section()], figures)
    run = TrainingRun(
        parameters=_parameters(data, exam),
        metrics=evaluation.metrics,
        tags=run_tags(digest(x, data.y), moment) | {TABLE_TAG: data.target},
        figures=figures,
        documents={**evaluation.documents(), "columns": _columns(data, exam, gains)},
        texts={"card.md": text},
    )
    recipe = recipe_of(exam, data.kind)
    bundle = _bundle(model, data, final, x, {"as_of": moment} | ({ESTIMATOR: recipe} if recipe else {}))
    version = publish(registry, name, bundle, run, failed, champion)
    progress(f"{name}: done", 1.0)
    return Trained(version, notes, data.understood.left_out)


def currency(home: Home) -> str:
    """The shop's currency; without a shop it is unknown."""
    return home.shop().currency if home.settings_file.exists() else "the table's currency"


def _name(registry: Registry, table: str, name: str | None) -> str:
    """The given name, or one derived from the file's; neither a built-in one nor that of another kind of
    model.
    """
    name = name or re.sub(r"[^a-z0-9]+", "_", Path(table).stem.lower()).strip("_")
    if not _NAME.fullmatch(name):
        raise PatronError(
            f"{name!r} cannot be a model's name; say --name with small letters, digits and _, a letter first"
        )
    if name in (*every(), *OTHER_MODELS, "all"):
        raise PatronError(f"{name} is the name of a model that comes with Patron; say another --name")
    if registry.versions(name) and name not in registry.table_models():
        raise PatronError(
            f"{registry.mlflow.place} holds a model {name} that was not trained on a table;"
            " say another --name"
        )
    return name


def _bundle(
    model: TableModel, data: Labelled, final: FittedModel, x: np.ndarray, fields: dict[str, Any]
) -> dict[str, bytes]:
    """The files to publish, with the table's customers as the reference for drift.

    Args:
        fields: of the manifest, about the training.
    """
    scores = final.score_matrix(x)
    typed = data.table.typed(data.understood.types)
    frame = pd.DataFrame({name: values.to_pandas() for name, values in typed.items()}).iloc[data.places]
    manifest = dict(final.manifest) | {
        "question": model.question,
        "meaning": model.meaning,
        "kind": model.kind,
        "target": data.target,
        "identifiers": list(data.understood.identifiers),
    } | fields | provenance(scores)  # fmt: skip
    return pack(manifest, final.fitted, reference.describe(frame.assign(score=scores)))


def _parameters(data: Labelled, exam: Examination) -> dict[str, Any]:
    own = {
        "target": data.target,
        "time": data.time or "",
        "dropped": " ".join(data.dropped),
        "confirmed": " ".join(data.confirmed),
        "encoded": "" if isinstance(exam.configuration, OwnConfiguration) else " ".join(data.encoded),
    }
    features = {"features": len(data.understood.types)}
    return own | features | settings_of(exam.configuration.estimator(data.kind))


def _gains(final: FittedModel) -> dict[str, float]:
    """By column the reduction of the trees' loss; empty for a user's estimator."""
    if isinstance(final.fitted, FittedOwn):
        return {}
    fitted = final.fitted.trees if isinstance(final.fitted, FittedTargetEncodedTrees) else final.fitted
    assert isinstance(fitted, FittedTrees)
    gains = fitted.booster.feature_importance("gain").tolist()
    return {column.name: float(gain) for column, gain in zip(final.columns, gains, strict=True)}


def _columns(data: Labelled, exam: Examination, gains: dict[str, float]) -> dict[str, object]:
    """The treatment of each column, for MLflow."""
    read = {
        name: {"type": dtype, "gain": gains.get(name), "alone": exam.alone.get(name)}
        for name, dtype in data.understood.types.items()
    }
    return {"read": read, "left_out": data.understood.left_out}
