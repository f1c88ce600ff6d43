"""train(model): dataset, fit, evaluate, gate, publish."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

import features
from features import populations, segments
from features.errors import PatronError
from features.home import Home
from features.progress import Progress, silent
from features.snapshots import Built
from features.store import Store
from models import reference
from models.bundle import FittedModel, pack
from models.estimators.blend import FittedBlend
from models.registry import Registry
from models.spec import Array, CustomerModel, Estimator
from models.versions import ModelVersion, Run
from training.card import card, told
from training.dataset import Dataset, Split, gather, split
from training.evaluate import evaluate
from training.plots import plots


def asked_with(model: CustomerModel, horizon_days: int | None) -> CustomerModel:
    """The model with another horizon, or as it stands for None."""
    if horizon_days is None:
        return model
    if horizon_days < 1:
        raise PatronError(f"a horizon of {horizon_days} days is not one; use at least 1")
    return replace(model, horizon=timedelta(days=horizon_days), shorter_horizons=())


def fitted_for(model: CustomerModel) -> tuple[CustomerModel, bool]:
    """The model whose fit answers, and whether as the complement (1 − its score).

    A model with an opposite is always learnt as that opposite, at its own horizon. So where the
    horizons coincide, the fits are the same and the two can never contradict each other.
    """
    if model.complement_of is not None:
        return replace(model.complement_of, horizon=model.horizon, shorter_horizons=()), True
    return model, False


def train(
    home: Home,
    model: CustomerModel,
    built: Built,
    store: Store,
    registry: Registry,
    progress: Progress = silent,
) -> ModelVersion:
    """Learn from what is known now, test by time, and publish; promote if every gate opens.

    The version published is fitted on all labels known; its measures are those of the same
    recipe fitted only on what was known at the test's moment.

    Raises:
        PatronError: the history or the outcomes do not suffice; says what is missing.
    """
    shop, now = home.shop(), built.current
    parts = moments_of(home, model, built)
    model = asked_with(model, parts.horizon_days)
    recipe, complement = fitted_for(model)
    progress(f"{model.name}: dataset", 0.05)
    data = gather(home, store, recipe, parts.all, parts.horizon_days, now)
    own = gather(home, store, model, [parts.test], parts.horizon_days, now) if complement else data
    refuse_if_poor(model, data)

    progress(f"{model.name}: test fit", 0.3)
    known_then = gather(home, store, recipe, parts.fit, parts.horizon_days, parts.test)
    tested = fit(known_then, complement, "test")
    progress(f"{model.name}: evaluation", 0.55)
    exam = own.at([parts.test]).frame
    scores = tested.score(columns_of(exam))
    evaluation = evaluate(model, exam, parts.horizon_days, scores, tested.interval(scores))
    refusals = evaluation.refusals(model)

    progress(f"{model.name}: final fit", 0.6)
    final = fit(data, complement, "final")
    # Learnt from the recipe's customers, it answers for the model's own.
    own_customers = {"eligible": [condition.as_dict() for condition in model.eligible]}
    final = replace(final, manifest={**final.manifest, **own_customers})
    progress(f"{model.name}: publishing", 0.9)
    files = _bundle(model, final, built, parts)
    local = parts.told_in(shop.time_zone)
    run = Run(
        parameters=_parameters(recipe, local) | chosen(final),
        metrics=evaluation.metrics,
        tags={
            "data_digest": data.digest(),
            "code_version": code_version(),
            "as_of": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        },
        figures=plots(evaluation, "probability" if model.kind == "probability" else shop.currency),
        documents=evaluation.documents(),
        texts={"card.md": card(model, told(model, local, evaluation, data.digest()), evaluation, refusals)},
    )
    published = registry.publish(model.name, files, run, refusals)
    store.publish_service(f"{model.name}_v{published.version}", final.features)
    if not refusals:
        registry.promote(model.name, published.version, "training", "passed its gates")
        published = replace(published, champion=True)
    progress(f"{model.name}: done", 1.0)
    return published


def moments_of(home: Home, model: CustomerModel, built: Built) -> Split:
    """The built moments that a model learns from and is tested at.

    Raises:
        PatronError: the history is too short.
    """
    monthly = [t for t in built.as_ofs if t in set(populations.origins(home)) and t <= built.current]
    return split(model, monthly, built.current, home.shop().time_zone)


def fit(data: Dataset, complement: bool, version: str) -> FittedModel:
    """Fit the model's estimator on all rows of a dataset."""
    columns = data.columns()
    categorical = [i for i, column in enumerate(columns) if column.dtype == "string"]
    fitted = data.model.estimator().fit(
        data.x(columns), data.y, data.frame["customer_key"].to_numpy(np.int64), categorical, data.asked
    )
    manifest: dict[str, Any] = {
        "model": data.model.name,
        "features": [asdict(column) for column in columns],
        "eligible": [condition.as_dict() for condition in data.model.eligible],
        "complement": complement,
    }
    return FittedModel(version, manifest, fitted, {})


def columns_of(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """A frame as lists by column, as models read it."""
    return {str(name): frame[name].tolist() for name in frame}


def refuse_if_poor(model: CustomerModel, data: Dataset) -> None:
    """Refuse to learn from too few customers, or too few outcomes of a kind.

    Raises:
        PatronError: says how many there are and how many it takes.
    """
    customers = data.frame["customer_key"].nunique() if len(data.frame) else 0
    if customers < model.minimum_customers:
        raise PatronError(
            f"{model.name} cannot be trained: {customers} customers have a known outcome and it"
            f" takes {model.minimum_customers}; import more history"
        )
    with_outcome = int((data.y > 0).sum())
    fewer = min(with_outcome, len(data.y) - with_outcome) if model.kind == "probability" else with_outcome
    if fewer < model.minimum_outcomes:
        raise PatronError(
            f"{model.name} cannot be trained: {with_outcome} of {len(data.y)} outcomes are positive, and"
            f" it takes {model.minimum_outcomes} of each kind; use another --horizon or import more history"
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


def _bundle(model: CustomerModel, final: FittedModel, built: Built, parts: Split) -> dict[str, bytes]:
    """The files to publish, with the population of today as the reference for drift."""
    today = segments.everyone(built, built.current)
    scores = pd.Series(final.score(columns_of(today)), index=today.index)
    asked = np.array([reason is None for reason in final.refusals(columns_of(today))])
    described = today[list(final.features)].assign(score=scores.where(asked))
    manifest = (
        dict(final.manifest)
        | {
            "model": model.name,
            "question": model.question,
            "meaning": model.meaning.format(days=parts.horizon_days),
            "kind": model.kind,
            "horizon_days": parts.horizon_days,
            "as_of": built.current.isoformat(),
        }
        | provenance(np.asarray(scores[asked] if asked.any() else scores, np.float64))
    )
    return pack(manifest, final.fitted, reference.describe(described))


def provenance(scores: Array) -> dict[str, Any]:
    """What every manifest says: how scores lie among each other, and what made the bundle."""
    return {
        "score_percentiles": np.quantile(scores, np.linspace(0, 1, 101)).tolist(),
        "versions": {
            "patron": code_version(),
            "lightgbm": lightgbm.__version__,
            "python": platform.python_version(),
        },
    }


def code_version() -> str:
    """The commit of this checkout, with + when it has changes; the package version elsewhere."""
    here = Path(__file__).parent
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=here, capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
        return said.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return features.__version__
