"""Tests a table's model on held-out customers, against a constant and the best single column."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from models.estimator import Array
from models.measures import metrics
from models.registry.bundle import FittedModel
from models.registry.encoding import Column
from models.spec import Baseline, Gate
from training.evaluation.compare import DRAWS, DRAWS_OF_PARTS
from training.evaluation.evaluate import RANKING, Evaluation, evaluate
from training.tables import single_columns
from training.tables.configurations import Configuration, OwnConfiguration, choose
from training.tables.high_cardinality import encoded_columns
from training.tables.holdouts import Holdout, inner
from training.tables.labelled import Labelled, Rows
from training.tables.leaks import Leak, find_leaks, words_about
from training.tables.telling_values import telling_values

MANY = 20_000  # held-out customers; above this, fewer resamples suffice


@dataclass(frozen=True)
class TableModel:
    """A question about a table's customers; see ``models.spec.Question``.

    Attributes:
        meaning: of the score.
    """

    name: str
    question: str
    meaning: str
    kind: str
    baselines: tuple[Baseline, ...]
    gates: tuple[Gate, ...]


@dataclass(frozen=True)
class Examination:
    """The results on held-out customers.

    Attributes:
        alone: the ranking measure of each single column on the training rows, the best first.
        leaks: columns that nearly determine the outcome, alone or together.
        telling_values: sentences about values with which nearly all customers have the outcome; empty if
            there are leaks.
    """

    configuration: Configuration | OwnConfiguration
    evaluation: Evaluation
    alone: dict[str, float]
    leaks: tuple[Leak, ...]
    telling_values: tuple[str, ...]
    score: Array


def question_about(name: str, data: Labelled, leaks: tuple[Leak, ...] = ()) -> TableModel:
    """The question of a table's target, with its baselines and gates."""
    target, kind = data.target, data.kind
    measure, _ = RANKING[kind]
    probability = kind == "probability"
    own = Gate("auc", "it must tell customers apart", at_least=0.6)
    true = Gate("calibration_slope", "its probabilities must mean what they say", at_least=0.6, at_most=1.6)
    if not probability:
        own = Gate("gini", "it must tell big spenders from small ones", at_least=0.2)
        true = Gate("total_ratio", "its total must be near the truth", at_least=0.5, at_most=2.0)
    return TableModel(
        name,
        f"What will {target} be?",
        f"calibrated probability that {target} is {data.positive}"
        if probability
        else f"expected {target}, not below 0",
        kind,
        (
            Baseline("constant", lambda frame, _days: frame["constant"]),
            Baseline("best_column", lambda frame, _days: frame["best_column"]),
        ),
        (
            Gate("leaking_columns", words_about(leaks, target, measure), at_most=0),
            own,
            Gate(f"{measure}_over_constant_low", "it must rank better than chance would", at_least=0),
            Gate(
                f"{measure}_over_best_column_high",
                "it must not rank surely worse than the best single column",
                at_least=0,
            ),
            true,
        ),
    )


def examine(
    name: str, data: Labelled, holdout: Holdout, own: OwnConfiguration | None = None
) -> tuple[TableModel, Examination]:
    """Choose a configuration on inner splits, fit, and measure on the held-out customers.

    The held-out rows are used for nothing before they are scored.

    Args:
        own: the user's estimator; None for trees.
    """
    columns = data.columns(holdout.fit)
    x = data.x(columns)
    encoded = encoded_columns(columns, data.encoded)
    configuration: Configuration | OwnConfiguration
    if own is None:
        splits = inner(data, holdout.fit)
        configuration = choose(data.kind, x, data.y, categorical(columns), splits, encoded)
    else:
        configuration = own
    tested = fit(name, data, holdout.fit, configuration, "test")
    score = tested.score_matrix(x[holdout.test])
    alone = single_columns.rank(data.kind, columns, x[holdout.fit], data.y[holdout.fit])
    _, ranking = RANKING[data.kind]
    leaks = find_leaks(
        data.kind, columns, x[holdout.fit], data.y[holdout.fit], alone, data.confirmed,
        ranking(data.y[holdout.test], score),
    )  # fmt: skip
    best = [column.name for column in columns].index(next(iter(alone)))
    one = single_columns.fit(columns[best], x[holdout.fit, best], data.y[holdout.fit])
    frame = pd.DataFrame(
        {
            "customer_key": holdout.test,
            "label": data.y[holdout.test],
            "constant": float(data.y[holdout.fit].mean()),
            "best_column": one.score(x[holdout.test, best]),
        }
    )
    model = question_about(name, data, leaks)
    shown = evaluate(model, frame, 0, score)
    leaking = {"leaking_columns": float(sum(len(leak.columns) for leak in leaks))}
    measures = shown.metrics | leaking | _intervals(model, frame, score)
    evaluation = replace(shown, metrics=measures)
    telling: tuple[str, ...] = ()
    if data.kind == "probability" and not leaks:
        telling = tuple(telling_values(columns, x[holdout.fit], data.y[holdout.fit]))
    return model, Examination(configuration, evaluation, alone, leaks, telling, score)


def fit(
    name: str, data: Labelled, rows: Rows, configuration: Configuration | OwnConfiguration, version: str
) -> FittedModel:
    """Fit on some rows, with their categories."""
    columns = data.columns(rows)
    estimator = configuration.encoding_estimator(data.kind, encoded_columns(columns, data.encoded))
    fitted = estimator.fit(data.x(columns)[rows], data.y[rows], rows, categorical(columns))
    manifest = {
        "model": name,
        "features": [asdict(column) for column in columns],
        "eligible": [],
        "complement": False,
    }
    return FittedModel(version, manifest, fitted, {})


def categorical(columns: tuple[Column, ...]) -> list[int]:
    """The positions of the columns with codes of categories."""
    return [i for i, column in enumerate(columns) if column.dtype == "string"]


def _intervals(model: TableModel, frame: pd.DataFrame, score: Array) -> dict[str, float]:
    """The bounds of the 95 % intervals of the ranking's difference from each baseline (paired bootstrap)."""
    name, measure = RANKING[model.kind]
    outcome = frame["label"].to_numpy(np.float64)
    draws = DRAWS if len(frame) < MANY else DRAWS_OF_PARTS
    bounds: dict[str, float] = {}
    for baseline in model.baselines:
        other = baseline.score(frame, 0).to_numpy(np.float64)
        _, low, high = metrics.paired_bootstrap([(outcome, score, other)], measure, draws)
        bounds |= {f"{name}_over_{baseline.name}_low": low, f"{name}_over_{baseline.name}_high": high}
    return bounds
