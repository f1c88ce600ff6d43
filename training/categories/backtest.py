"""Tests propensity per category by time: fits on early moments, and measures at a later one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from core.errors import PatronError
from models.categories.history import AsOf, habit, history, known_at, ordered_within
from models.categories.model import HORIZON_DAYS, NAME, fit, score
from models.estimator import Array
from models.measures import metrics
from models.registry.bundle import FittedModel
from models.registry.other_models import OTHER_MODELS
from models.spec import Baseline, Gate
from training.evaluation.evaluate import Evaluation, SliceRow, evaluate
from training.evaluation.slices import enough

MAX_CATEGORIES = 60  # a shop with more needs broader categories
MIN_LEARNT, MIN_TESTED = 200, 50  # orders of a category
MAX_MOMENTS = 12  # a year, so that every season is covered
MAX_ROWS = 200_000  # of the training set; with more, each moment uses a different sample of customers


@dataclass(frozen=True)
class CategoryQuestion:
    """The model's question, baselines and gates; see ``models.spec.Question``."""

    name: str = NAME
    question: str = OTHER_MODELS[NAME]
    kind: str = "probability"
    baselines: tuple[Baseline, ...] = (Baseline("habit", lambda f, _days: pd.Series(habit(f), f.index)),)
    gates: tuple[Gate, ...] = (
        Gate(
            "auc_within_category_over_habit", "it must tell who orders of a category from habit", at_least=0
        ),
        # If tastes never change, counting is optimal: allow for a hundredth.
        Gate(
            "auc_within_customer_over_habit_high",
            "it must not surely be worse than habit at which category a customer orders of",
            at_least=-0.01,
        ),
        Gate("calibration_slope", "its probabilities must be near the truth", at_least=0.7, at_most=1.4),
    )


@dataclass(frozen=True)
class CategoryBacktest:
    """The scores of a model at a moment after those that it was fitted on.

    Attributes:
        test: the moment of the test.
        learnt: the moments of the training set.
        frame: the rows of the test set, with ``label`` and ``score``.
    """

    test: AsOf
    learnt: tuple[AsOf, ...]
    frame: pd.DataFrame


def read_baskets(order_lines: ir.Table) -> pd.DataFrame:
    """The parts of orders by category, as :func:`models.categories.history.history` reads them.

    Args:
        order_lines: canonical, see :mod:`events.schema`.
    """
    by = ["customer_key", "order_id", "category", "timestamp", "received_at", "day"]
    by += ["replaced_at"] if "replaced_at" in order_lines.columns else []
    grouped = order_lines.group_by(by).aggregate(
        lines=order_lines.count().cast("float64"), amount=order_lines.amount.sum().cast("float64")
    )
    # Sorted, since sums of floating point depend on the order of rows.
    rows: pd.DataFrame = grouped.order_by(by).to_pandas()
    if "replaced_at" in rows and rows["replaced_at"].isna().all():
        rows = rows.drop(columns="replaced_at")
    return rows.assign(order_id=pd.factorize(rows["order_id"])[0])


def backtest(
    baskets: pd.DataFrame, origins: Sequence[AsOf], now: AsOf, days: int = HORIZON_DAYS
) -> CategoryBacktest:
    """Fit on early moments, and test at the last one whose outcome is known.

    Args:
        baskets: as :func:`read_baskets` returns them.
        origins: moments, the earliest first.
        now: rows that were received later are left out.
        days: the horizon.

    Raises:
        PatronError: there are no categories, too many, or too little history or outcomes.
    """
    baskets = known_at(baskets, now.as_of)
    count = baskets["category"].nunique()
    if count < 2 or count > MAX_CATEGORIES:
        raise PatronError(
            f"{NAME} cannot be trained: orders name {count} categories, and it takes 2 to {MAX_CATEGORIES};"
            " map a column of product categories"
        )
    *_, test = known_outcomes(origins, now, days) or [now]
    learnt = known_outcomes(origins, test, days)
    if not learnt:
        raise PatronError(
            f"{NAME} cannot be trained: no outcome {days} days ahead was known at the last moment to test at;"
            " import more history"
        )
    model = learn(known_at(baskets, test.as_of), learnt, days)
    frame = _enough(_labelled(baskets, test, days), MIN_TESTED, "test on")
    return CategoryBacktest(test, tuple(learnt), frame.assign(score=score(model, frame)))


def known_outcomes(origins: Sequence[AsOf], now: AsOf, days: int = HORIZON_DAYS) -> list[AsOf]:
    """The last moments whose outcome is known by now, at most ``MAX_MOMENTS``."""
    return [origin for origin in origins if origin.day + days <= now.day][-MAX_MOMENTS:]


def learn(baskets: pd.DataFrame, origins: Sequence[AsOf], days: int = HORIZON_DAYS) -> FittedModel:
    """Fit on moments whose outcome is known, with at most about ``MAX_ROWS`` rows.

    Raises:
        PatronError: too few rows have the label 1.
    """
    most = baskets["customer_key"].nunique() * baskets["category"].nunique() * len(origins)
    step = -(-most // MAX_ROWS)
    parts = [_labelled(baskets, origin, days, step, first) for first, origin in enumerate(origins)]
    return fit(_enough(pd.concat(parts, ignore_index=True), MIN_LEARNT, "learn from"))


def _enough(frame: pd.DataFrame, least: int, what: str) -> pd.DataFrame:
    outcomes = int(frame["label"].sum())
    if outcomes < least:
        raise PatronError(
            f"{NAME} cannot be trained: {outcomes} orders of a category are there to {what}, and it takes"
            f" {least}; import more history"
        )
    return frame


def _labelled(baskets: pd.DataFrame, as_of: AsOf, days: int, step: int = 1, first: int = 0) -> pd.DataFrame:
    """The rows of a moment with their label, of every ``step``-th customer, starting with the ``first``."""
    known = history(baskets, as_of)
    frame = known.rows(known.keys[first % step :: step])
    return frame.assign(label=ordered_within(baskets, as_of, frame, days))


def evaluation_of(rows: pd.DataFrame, days: int = HORIZON_DAYS) -> Evaluation:
    """The evaluation of the scores of a test, compared with habit, also by category.

    ``auc_within_category`` is the mean over categories (which customers order of it). ``auc_within_customer``
    is the mean over customers who ordered of some categories and not of others (which categories they order
    of); its difference from habit has a 95 % interval (paired bootstrap over customers).

    Args:
        rows: with ``score`` and ``label``.
    """
    outcome, ours, usual = rows["label"], rows["score"].to_numpy(np.float64), habit(rows)
    evaluation = evaluate(CategoryQuestion(), rows, days, ours)
    measures = dict(evaluation.metrics)
    for name, column in (("category", "category"), ("customer", "customer_key")):
        values, others = (auc_within(rows[column], outcome, scores) for scores in (ours, usual))
        measures |= {
            f"auc_within_{name}": float(values.mean()),
            f"auc_within_{name}_habit": float(others.mean()),
            f"auc_within_{name}_over_habit": float((values - others).mean()),
        }
    own, simple = (np.asarray(values, np.float64) for values in (values, others))  # per customer from here on
    _, low, high = metrics.paired_bootstrap([(own, own, simple)], lambda _, v: float(v.mean()))
    measures |= {"auc_within_customer_over_habit_low": low, "auc_within_customer_over_habit_high": high}
    measures["test_customers"] = float(rows["customer_key"].nunique())
    return replace(evaluation, metrics=measures, by_slice=(*_by_category(rows), *evaluation.by_slice))


def auc_within(groups: pd.Series, outcome: pd.Series, scores: Array) -> pd.Series[float]:
    """The AUC (:func:`models.measures.metrics.auc`) of each group with both outcomes, all at once."""
    frame = pd.DataFrame({"group": groups, "having": outcome > 0, "score": scores})
    rank = frame.groupby("group")["score"].rank()
    frame = frame.assign(rank=rank.where(frame["having"], 0.0))
    of = frame.groupby("group").agg(all=("having", "size"), having=("having", "sum"), ranks=("rank", "sum"))
    of = of[(of["having"] > 0) & (of["having"] < of["all"])]
    above = of["ranks"] - of["having"] * (of["having"] + 1) / 2
    return above / (of["having"] * (of["all"] - of["having"]))


def _by_category(tested: pd.DataFrame) -> list[SliceRow]:
    rows = []
    for category, part in tested.groupby("category", sort=True):
        outcome, scores = part["label"].to_numpy(np.float64), part["score"].to_numpy(np.float64)
        ranked = metrics.auc(outcome, scores) if enough("probability", outcome) else None
        row = SliceRow(str(category), len(part), ranked, float(scores.mean()), float(outcome.mean()))
        rows.append(row)
    return rows
