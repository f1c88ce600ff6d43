"""tune(model): search for better trees on inner splits by time, then train with the best.

The search uses only data known at the test's moment: each inner split scores one of the training months with
a fit on the months whose labels were known by then. So the test stays unbiased. Optuna proposes
configurations (tree-structured Parzen estimator, Bergstra et al., 2011) and prunes trials that are worse than
the median after a split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.calendar import day_of
from core.errors import PatronError
from core.progress import Progress, silent
from features.workspace import Workspace
from models.estimator import Array
from models.estimators.contest import Blend
from models.estimators.trees import CalibratedTrees, MoneyTrees, grow
from models.registry.registry import Registry
from models.registry.versions import ModelVersion, TrainingRun
from models.spec import CustomerModel
from training.customers.backtest import recipe_of, split_history, with_declared_traits
from training.customers.dataset import gather
from training.customers.horizon import with_horizon
from training.customers.pipeline import settings_of, train
from training.customers.sample import CustomerSample
from training.customers.split import Split
from training.evaluation.evaluate import RANKING
from training.evaluation.slices import enough

MAX_SPLITS = 3
STARTUP_TRIALS = 5  # which are not pruned
SEED = 7
Trees = CalibratedTrees | MoneyTrees | Blend


@dataclass(frozen=True)
class InnerSplit:
    """A matrix and labels for training, and those of a later moment for testing."""

    x: Array
    y: Array
    categorical: list[int]
    x_test: Array
    outcome: Array


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Attributes:
        measure: the measure that ranks configurations, ``auc`` or ``gini``.
        usual, best: its mean over the inner splits, for the model's own configuration and for the best one.
        pruned: the number of pruned trials.
        version: trained with the best configuration.
    """

    measure: str
    usual: float
    best: float
    trials: int
    pruned: int
    settings: dict[str, Any]
    version: ModelVersion


def tune(
    workspace: Workspace,
    model: CustomerModel,
    registry: Registry,
    trials: int,
    timeout_s: float | None = None,
    progress: Progress = silent,
) -> Tuned:
    """Search, record every trial in a run, and train, test and publish with the best configuration.

    Args:
        trials: the maximum number; the first is the model's own configuration.
        timeout_s: no trial begins later than this number of seconds after the first.

    Raises:
        PatronError: Optuna is not installed, or the history is too short for an inner split.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    model = with_declared_traits(workspace.home, model)
    parts = split_history(workspace, model)
    recipe, complement = recipe_of(with_horizon(model, parts.horizon_days))
    usual = recipe.estimator()
    if not isinstance(usual, Trees):
        raise PatronError(f"{model.name} learns by {type(usual).__name__}, which has nothing to tune")
    splits = inner_splits(workspace, recipe, parts)
    measure, _ = RANKING[recipe.kind]
    search = registry.runs.begin_search(
        model.name, TrainingRun({"trials": trials, "splits": len(splits)}, {}, {})
    )

    def record(trial: Any, tried: Trees, values: Sequence[float], pruned: bool) -> None:
        metrics = {f"inner_{measure}": float(np.mean(values)), "splits": float(len(values))}
        tags = {"state": "pruned" if pruned else "complete"}
        registry.runs.record_trial(model.name, search, TrainingRun(settings_of(tried), metrics, tags))
        progress(f"{model.name}: trial {trial.number + 1} of {trials}", 0.8 * (trial.number + 1) / trials)

    study = _study(optuna, usual)
    study.optimize(_objective(optuna, recipe.kind, usual, splits, record), trials, timeout_s)
    registry.runs.end_search(search, {f"inner_{measure}": study.best_value})
    best = configured(usual, study.best_params)
    learnt = replace(recipe, estimator=lambda: best)
    chosen = replace(with_horizon(model, parts.horizon_days), complement_of=learnt) if complement else learnt
    version = train(workspace, chosen, registry, progress)
    states = [trial.state.name for trial in study.trials]
    return Tuned(
        measure, study.trials[0].value, study.best_value, len(states), states.count("PRUNED"),
        study.best_params, version,
    )  # fmt: skip


def inner_splits(workspace: Workspace, recipe: CustomerModel, parts: Split) -> list[InnerSplit]:
    """Up to three splits, for the latest training months, each with the data known before it.

    Raises:
        PatronError: no month has enough outcomes.
    """
    zone, days, store = workspace.shop.time_zone, parts.horizon_days, workspace.store
    sample = CustomerSample.of(workspace.snapshots)
    splits: list[InnerSplit] = []
    for moment in reversed(parts.fit):
        known = [t for t in parts.fit if day_of(t, zone) + days <= day_of(moment, zone)]
        if not known or len(splits) == MAX_SPLITS:
            break
        learnt = gather(store, recipe, known, days, moment, sample)
        exam = gather(store, recipe, [moment], days, parts.test, sample)
        if enough(recipe.kind, learnt.y) and enough(recipe.kind, exam.y):
            columns = learnt.columns()
            categorical = [i for i, column in enumerate(columns) if column.dtype == "string"]
            splits.append(InnerSplit(learnt.x(columns), learnt.y, categorical, exam.x(columns), exam.y))
    if not splits:
        raise PatronError(
            f"the history is too short to tune on: of the {len(parts.fit)} training months, none is"
            f" {days} days after another with enough outcomes; import more history"
        )
    return splits


def configured(usual: Trees, settings: dict[str, Any]) -> Trees:
    """Trees with other settings."""
    own = {name: value for name, value in settings.items() if name != "rounds"}
    return replace(usual, rounds=settings["rounds"], parameters=usual.parameters | own)


def _study(optuna: Any, usual: Trees) -> Any:
    """A search that begins with the model's own configuration, so that the best is never worse."""
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=SEED),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
    )
    study.enqueue_trial(_own_settings(usual))
    return study


def _own_settings(usual: Trees) -> dict[str, Any]:
    names = ("num_leaves", "learning_rate", "min_data_in_leaf", "lambda_l2", "feature_fraction")
    return {"rounds": usual.rounds} | {name: usual.parameters[name] for name in names}


def _proposed(trial: Any) -> dict[str, Any]:
    return {
        "rounds": trial.suggest_int("rounds", 50, 400, step=10),
        "num_leaves": trial.suggest_int("num_leaves", 3, 31, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 10, 200, log=True),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 50.0, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
    }


def _objective(
    optuna: Any, kind: str, usual: Trees, splits: Sequence[InnerSplit], record: Callable[..., None]
) -> Callable[[Any], float]:
    """The objective that Optuna maximises: the mean ranking measure over the splits."""
    _, ranking = RANKING[kind]

    def tried(trial: Any) -> float:
        trees, values = configured(usual, _proposed(trial)), list[float]()
        for i, split in enumerate(splits):
            grown = grow(trees.parameters, trees.rounds, split.x, split.y, split.categorical)
            raw = np.asarray(grown.predict(split.x_test, raw_score=True, num_threads=1))
            values.append(ranking(split.outcome, raw))
            trial.report(float(np.mean(values)), i)
            if i + 1 < len(splits) and trial.should_prune():
                record(trial, trees, values, True)
                raise optuna.TrialPruned
        record(trial, trees, values, False)
        return float(np.mean(values))

    return tried
