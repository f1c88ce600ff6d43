"""Fits and measures the probability of an order that belongs to a model of money."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from core.home import Home
from models.estimator import Array
from models.measures import metrics
from models.order_probability import OrderProbability, bounded
from models.questions.outcomes import KEYS
from models.registry.bundle import FittedModel
from models.registry.encoding import matrix
from training.customers.dataset import Dataset, columns_of
from training.customers.horizon import with_horizon
from training.customers.outcome_totals import outcome_totals
from training.evaluation.tenths import table_of, tenths_of

NAME = "order"  # of the measures
TITLE = "Probability of an order"


def with_order(home: Home, data: Dataset, money: FittedModel) -> FittedModel:
    """A model of money with the probability of an order, fitted on the same rows.

    Unchanged if the model has no question of an order, or if fewer rows than the question's minimum have an
    outcome of either kind.

    Args:
        data: the rows that ``money`` was fitted on.
    """
    question = data.model.order
    ordered = (data.y > 0).astype(np.float64)
    if question is None or min(ordered.sum(), (1 - ordered).sum()) < question.minimum_outcomes:
        return money
    question = with_horizon(replace(question, eligible=data.model.eligible), data.horizon_days)
    x = data.x(money.columns)
    customers = data.frame["customer_key"].to_numpy(np.int64)
    categorical = [i for i, column in enumerate(money.columns) if column.dtype == "string"]
    context = data.fit_context(money.columns)
    if data.current is not None:
        rows = pd.concat([data.frame[KEYS], data.current[KEYS]])
        totals = outcome_totals(home, question, data.horizon_days, rows, data.known_at, data.sample)
        context = replace(context, totals=totals)
    fitted = question.estimator().fit(x, ordered, customers, categorical, context)
    order = bounded(fitted, money.score_matrix(x), data.y)
    return replace(money, order=_with_ratios(order, money, data.y))


def _with_ratios(order: OrderProbability, money: FittedModel, y: Array) -> OrderProbability:
    """The probability with the ratios of the rows that both estimators held out, if there are any."""
    ours, others = (getattr(fitted, "held_out", None) for fitted in (money.fitted, order.fitted))
    if ours is None or others is None:
        return order
    rows, at, other_at = np.intersect1d(ours.rows, others.rows, assume_unique=True, return_indices=True)
    return order.with_ratios(
        others.predicted[other_at], ours.predicted[at], y[rows], money.level.get("sd", 0.0)
    )


def order_measures(model: FittedModel, frame: pd.DataFrame) -> dict[str, float]:
    """The measures of the probability and of the amount on labelled customers; none if the model has none.

    ``order_brier_base_rate`` is the Brier score of the customers' own share with an order for all of them.
    ``order_level_ratio`` is the predicted over the actual number with an order, ``order_amount_ratio`` the
    predicted over the actual total of those with one.

    Args:
        frame: features and ``label``.
    """
    parts, outcome = parts_of(model, frame), frame["label"].to_numpy(np.float64)
    ordered = (outcome > 0).astype(np.float64)
    if parts is None or len(np.unique(ordered)) < 2:
        return {}
    probability, amount = parts
    return {
        f"{NAME}_auc": metrics.auc(ordered, probability),
        f"{NAME}_brier": metrics.brier(ordered, probability),
        f"{NAME}_brier_base_rate": metrics.brier(ordered, np.full(len(ordered), ordered.mean())),
        f"{NAME}_calibration_slope": metrics.calibration_slope(ordered, probability),
        f"{NAME}_level_ratio": metrics.total_ratio(ordered, probability),
        f"{NAME}_amount_ratio": metrics.total_ratio(outcome[ordered > 0], amount[ordered > 0]),
    }


def order_sections(model: FittedModel, frame: pd.DataFrame) -> list[tuple[str, str]]:
    """The section of a card about the probability, as title and text; empty if the model has none."""
    parts = parts_of(model, frame)
    if parts is None:
        return []
    ordered = frame.assign(label=(frame["label"] > 0).astype("float64"))
    return [(TITLE, "\n".join(table_of("probability", tenths_of("probability", ordered, parts[0]))))]


def parts_of(model: FittedModel, frame: pd.DataFrame) -> tuple[Array, Array] | None:
    """The parts of customers by their features and ``score``; None if the model has none."""
    return model.parts(matrix(model.columns, columns_of(frame)), frame["score"].to_numpy(np.float64))
