"""Learn propensity per product category, and test it by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.errors import PatronError
from features.events import Events
from models import metrics
from models.bundle import FittedModel
from models.category_propensity import NAME, Asked, bought_within, fit, habit, known_at, rows, score
from models.spec import Array

HORIZON_DAYS = 30
MOST_CATEGORIES = 60  # a shop with more should name its categories more broadly
LEAST_OUTCOMES = 200


@dataclass(frozen=True)
class CategoryExam:
    """What the model showed at a later moment, and the one to publish.

    Attributes:
        model: fitted on all labels known.
        measures: by name; ``..._habit`` are those of the baseline. ``auc_within_category`` is the mean over
            categories (which customers for it), ``auc_within_customer`` over those customers who ordered of
            some categories and not of others (which categories for them).
        frame: the test's rows with ``label`` and ``score``.
    """

    model: FittedModel
    measures: dict[str, float]
    frame: pd.DataFrame


def order_lines(events: Events) -> pd.DataFrame:
    """The order lines as the model reads them."""
    lines = events.order_lines
    names = ("customer_key", "timestamp", "received_at", "day", "order_id", "category")
    found: pd.DataFrame = lines.select(*names, amount=lines.amount.cast("float64")).to_pandas()
    return found


def examine(
    lines: pd.DataFrame, origins: Sequence[Asked], now: Asked, days: int = HORIZON_DAYS
) -> CategoryExam:
    """Learn from early moments, test at the last whose outcome is known, then learn from all.

    Args:
        lines: as :func:`order_lines` gives them. origins: the moments asked about, the earliest first.
        now: what was received later counts for nothing.
        days: the horizon.

    Raises:
        PatronError: there are no categories, too many, or too little history or outcomes.
    """
    lines = known_at(lines, now.as_of)
    _refuse(lines)
    labelled = [origin for origin in origins if origin.day + days <= now.day]
    early = [origin for origin in labelled if labelled and origin.day + days <= labelled[-1].day]
    if not early:
        raise PatronError(
            f"{NAME} cannot be trained: no outcome {days} days ahead was known at the last moment to test at;"
            " import more history"
        )
    test = labelled[-1]
    model = fit(_enough(_labelled(known_at(lines, test.as_of), early, days)))
    exam = _labelled(lines, [test], days)
    exam = exam.assign(score=score(model, exam))
    final = fit(_enough(_labelled(lines, labelled, days)))
    return CategoryExam(replace(final, version="final"), measures(exam), exam)


def _refuse(lines: pd.DataFrame) -> None:
    count = lines["category"].nunique()
    if count < 2 or count > MOST_CATEGORIES:
        raise PatronError(
            f"{NAME} cannot be trained: orders name {count} categories, and it takes 2 to {MOST_CATEGORIES};"
            " map a column of product categories"
        )


def _labelled(lines: pd.DataFrame, origins: Sequence[Asked], days: int) -> pd.DataFrame:
    parts = []
    for origin in origins:
        frame = rows(lines, origin)
        parts.append(frame.assign(as_of=origin.as_of, label=bought_within(lines, origin, frame, days)))
    return pd.concat(parts, ignore_index=True)


def _enough(frame: pd.DataFrame) -> pd.DataFrame:
    outcomes = int(frame["label"].sum())
    if outcomes < LEAST_OUTCOMES:
        raise PatronError(
            f"{NAME} cannot be trained: {outcomes} orders of a category are known outcomes, and it takes"
            f" {LEAST_OUTCOMES}; import more history"
        )
    return frame


def measures(exam: pd.DataFrame) -> dict[str, float]:
    """What the scores of a test show, beside the baseline.

    Args:
        exam: rows with ``score`` and ``label``.
    """
    outcome, ours = exam["label"].to_numpy(np.float64), exam["score"].to_numpy(np.float64)
    found = {
        "brier": metrics.brier(outcome, ours),
        "calibration_slope": metrics.calibration_slope(outcome, ours),
        "lift_at_10": metrics.lift_at(outcome, ours),
    }
    for suffix, scores in (("", ours), ("_habit", habit(exam))):
        found[f"auc{suffix}"] = metrics.auc(outcome, scores)
        found[f"auc_within_category{suffix}"] = _within(exam["category"], outcome, scores)
        found[f"auc_within_customer{suffix}"] = _within(exam["customer_key"], outcome, scores)
    return found | {"outcome_mean": float(outcome.mean()), "rows": float(len(exam))}


def _within(groups: pd.Series, outcome: Array, scores: Array) -> float:
    """Mean AUC over the groups that hold both outcomes."""
    parts = pd.Series(range(len(groups)), index=groups.index).groupby(groups, sort=True).indices.values()
    found = [
        metrics.auc(outcome[part], scores[part]) for part in parts if 0 < outcome[part].sum() < len(part)
    ]
    return float(np.mean(found)) if found else float("nan")
