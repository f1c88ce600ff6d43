"""Propensity per category tested by time: learnt from early moments, held against a later one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from core.errors import PatronError
from models.categories.history import Asked, habit, history, known_at, ordered_within
from models.categories.model import HORIZON_DAYS, NAME, fit, score
from models.measures import metrics
from models.registry.bundle import FittedModel
from models.registry.other_models import OTHER_MODELS
from models.spec import Array, Baseline, Gate
from training.evaluation.evaluate import Evaluation, SliceRow, evaluate
from training.evaluation.slices import enough

MOST_CATEGORIES = 60  # a shop with more should name its categories more broadly
LEAST_LEARNT, LEAST_TESTED = 200, 50  # orders of a category
MOST_MOMENTS = 12  # a year, so that every season is learnt from
MOST_ROWS = 200_000  # to learn from; of more, each moment takes other customers


@dataclass(frozen=True)
class CategoryQuestion:
    """What is asked, held against, and gated; see ``models.spec.Question``."""

    name: str = NAME
    question: str = OTHER_MODELS[NAME]
    kind: str = "probability"
    baselines: tuple[Baseline, ...] = (Baseline("habit", lambda f, _days: pd.Series(habit(f), f.index)),)
    gates: tuple[Gate, ...] = (
        Gate(
            "auc_within_category_over_habit", "it must tell who orders of a category from habit", at_least=0
        ),
        # Where tastes never change, counting is as good as can be: a hundredth is allowed for.
        Gate(
            "auc_within_customer_over_habit_high",
            "it must not surely be worse than habit at which category a customer orders of",
            at_least=-0.01,
        ),
        Gate("calibration_slope", "its probabilities must be near the truth", at_least=0.7, at_most=1.4),
    )


@dataclass(frozen=True)
class CategoryExam:
    """What a model that had learnt from before shows at a later moment.

    Attributes:
        test: the moment tested at. learnt: those that the model had learnt from.
        frame: the test's rows with ``label`` and ``score``.
    """

    test: Asked
    learnt: tuple[Asked, ...]
    frame: pd.DataFrame


def baskets(order_lines: ir.Table) -> pd.DataFrame:
    """What orders hold of each category, as :func:`models.categories.history.history` reads it.

    Args:
        order_lines: canonical, see :mod:`events.schema`.
    """
    by = ["customer_key", "order_id", "category", "timestamp", "received_at", "day"]
    grouped = order_lines.group_by(by).aggregate(
        lines=order_lines.count().cast("float64"), amount=order_lines.amount.sum().cast("float64")
    )
    # In an order of its own: sums of floating point depend on it.
    found: pd.DataFrame = grouped.order_by(by).to_pandas()
    return found.assign(order_id=pd.factorize(found["order_id"])[0])


def examine(
    held: pd.DataFrame, origins: Sequence[Asked], now: Asked, days: int = HORIZON_DAYS
) -> CategoryExam:
    """Learn from early moments, and test at the last whose outcome is known.

    Args:
        held: as :func:`baskets` gives it. origins: the moments asked about, the earliest first.
        now: what was received later counts for nothing.
        days: the horizon.

    Raises:
        PatronError: there are no categories, too many, or too little history or outcomes.
    """
    held = known_at(held, now.as_of)
    count = held["category"].nunique()
    if count < 2 or count > MOST_CATEGORIES:
        raise PatronError(
            f"{NAME} cannot be trained: orders name {count} categories, and it takes 2 to {MOST_CATEGORIES};"
            " map a column of product categories"
        )
    *_, test = known_outcomes(origins, now, days) or [now]
    learnt = known_outcomes(origins, test, days)
    if not learnt:
        raise PatronError(
            f"{NAME} cannot be trained: no outcome {days} days ahead was known at the last moment to test at;"
            " import more history"
        )
    model = learn(known_at(held, test.as_of), learnt, days)
    frame = _enough(_labelled(held, test, days), LEAST_TESTED, "test on")
    return CategoryExam(test, tuple(learnt), frame.assign(score=score(model, frame)))


def known_outcomes(origins: Sequence[Asked], now: Asked, days: int = HORIZON_DAYS) -> list[Asked]:
    """The last moments whose outcome is known by now, ``MOST_MOMENTS`` at most."""
    return [origin for origin in origins if origin.day + days <= now.day][-MOST_MOMENTS:]


def learn(held: pd.DataFrame, origins: Sequence[Asked], days: int = HORIZON_DAYS) -> FittedModel:
    """Learn from moments of known outcome, from enough rows and not too many.

    Raises:
        PatronError: too few have the outcome.
    """
    most = held["customer_key"].nunique() * held["category"].nunique() * len(origins)
    step = -(-most // MOST_ROWS)
    parts = [_labelled(held, origin, days, step, first) for first, origin in enumerate(origins)]
    return fit(_enough(pd.concat(parts, ignore_index=True), LEAST_LEARNT, "learn from"))


def _enough(frame: pd.DataFrame, least: int, what: str) -> pd.DataFrame:
    outcomes = int(frame["label"].sum())
    if outcomes < least:
        raise PatronError(
            f"{NAME} cannot be trained: {outcomes} orders of a category are there to {what}, and it takes"
            f" {least}; import more history"
        )
    return frame


def _labelled(held: pd.DataFrame, asked: Asked, days: int, step: int = 1, first: int = 0) -> pd.DataFrame:
    """The rows of a moment with their label, of every ``step``-th customer from the ``first`` on."""
    known = history(held, asked)
    frame = known.rows(known.keys[first % step :: step])
    return frame.assign(label=ordered_within(held, asked, frame, days))


def evaluated(exam: pd.DataFrame, days: int = HORIZON_DAYS) -> Evaluation:
    """What the scores of a test show, beside habit, and by category.

    ``auc_within_category`` is the mean over categories (which customers for it), ``auc_within_customer`` over
    those customers who ordered of some categories and not of others (which categories for them); of the
    latter the difference from habit has a 95 % interval (paired bootstrap over customers).

    Args:
        exam: rows with ``score`` and ``label``.
    """
    outcome, ours, usual = exam["label"], exam["score"].to_numpy(np.float64), habit(exam)
    evaluation = evaluate(CategoryQuestion(), exam, days, ours)
    found = dict(evaluation.metrics)
    for name, column in (("category", "category"), ("customer", "customer_key")):
        values, others = (auc_within(exam[column], outcome, scores) for scores in (ours, usual))
        found |= {
            f"auc_within_{name}": float(values.mean()),
            f"auc_within_{name}_habit": float(others.mean()),
            f"auc_within_{name}_over_habit": float((values - others).mean()),
        }
    own, simple = (np.asarray(values, np.float64) for values in (values, others))  # now of customers
    _, low, high = metrics.paired_bootstrap([(own, own, simple)], lambda _, v: float(v.mean()))
    found |= {"auc_within_customer_over_habit_low": low, "auc_within_customer_over_habit_high": high}
    found["test_customers"] = float(exam["customer_key"].nunique())
    return replace(evaluation, metrics=found, by_slice=(*_by_category(exam), *evaluation.by_slice))


def auc_within(groups: pd.Series, outcome: pd.Series, scores: Array) -> pd.Series[float]:
    """The AUC (:func:`models.measures.metrics.auc`) of each group with both outcomes, all at once."""
    frame = pd.DataFrame({"group": groups, "having": outcome > 0, "score": scores})
    rank = frame.groupby("group")["score"].rank()
    frame = frame.assign(rank=rank.where(frame["having"], 0.0))
    of = frame.groupby("group").agg(all=("having", "size"), having=("having", "sum"), ranks=("rank", "sum"))
    of = of[(of["having"] > 0) & (of["having"] < of["all"])]
    above = of["ranks"] - of["having"] * (of["having"] + 1) / 2
    return above / (of["having"] * (of["all"] - of["having"]))


def _by_category(exam: pd.DataFrame) -> list[SliceRow]:
    rows = []
    for category, part in exam.groupby("category", sort=True):
        outcome, scores = part["label"].to_numpy(np.float64), part["score"].to_numpy(np.float64)
        ranked = metrics.auc(outcome, scores) if enough("probability", outcome) else None
        row = SliceRow(str(category), len(part), ranked, float(scores.mean()), float(outcome.mean()))
        rows.append(row)
    return rows
