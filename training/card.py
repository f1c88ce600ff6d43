"""The card of a model version: what it answers, for whom, how well, and its limits. As Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from models.spec import Array, CustomerModel
from training.dataset import Split
from training.evaluate import RANKING, Evaluation
from training.slices import enough, slices


def card(
    model: CustomerModel,
    parts: Split,
    evaluation: Evaluation,
    refusals: Sequence[str],
    exam: pd.DataFrame,
    score: Array,
    data_digest: str,
) -> str:
    """The card.

    Args:
        exam: the test's rows, with features and ``label``, and ``score`` their scores.
    """
    sections = [
        [f"# {model.name}", model.question, f"Score: {model.meaning.format(days=parts.horizon_days)}."],
        ["## Asked of", *(f"- nobody who {c.otherwise}" for c in model.eligible)],
        ["## Data", *_data(parts, data_digest)],
        ["## Shown on a later time", *_measures(evaluation)],
        ["## By slice", *_slices(model, exam, score)],
        ["## Gates", *([f"- shut: {words}" for words in refusals] or ["All open."])],
        ["## Reads", *(f"- `{f.name}`: {f.description}" for f in model.features)],
        ["## Limits", *_limits(model, evaluation)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _data(parts: Split, digest: str) -> list[str]:
    return [
        f"- tested on {parts.test:%Y-%m-%d}, learnt for it from {len(parts.fit)} months,"
        f" {parts.fit[0]:%Y-%m-%d} to {parts.fit[-1]:%Y-%m-%d}",
        f"- published: learnt from {len(parts.all)} months, to {parts.all[-1]:%Y-%m-%d}",
        f"- digest of the rows: `{digest}`",
    ]


def _measures(evaluation: Evaluation) -> list[str]:
    rows = [f"| {name} | {value:.4g} |" for name, value in evaluation.metrics.items()]
    bins = [
        f"| {row['predicted']:.4g} | {row['actual']:.4g} | {row['customers']:,.0f} |"
        for row in evaluation.calibration
    ]
    return [
        "| measure | value |",
        "|---|---|",
        *rows,
        "",
        "| predicted | actual | customers |",
        "|---|---|---|",
        *bins,
    ]


def _slices(model: CustomerModel, exam: pd.DataFrame, score: Array) -> list[str]:
    name, measure = RANKING[model.kind]
    outcome: Array = exam["label"].to_numpy(np.float64)
    lines = [f"| slice | customers | {name} | predicted | actual |", "|---|---|---|---|---|"]
    for label, mask in slices(exam):
        y, s = outcome[mask], score[mask]
        if not len(y):
            continue
        ranked = f"{measure(y, s):.3f}" if enough(model.kind, y) else "too few"
        lines.append(f"| {label} | {len(y):,} | {ranked} | {s.mean():.4g} | {y.mean():.4g} |")
    return lines


def _limits(model: CustomerModel, evaluation: Evaluation) -> list[str]:
    limits: list[Any] = [
        f"- One later moment was tested, with {evaluation.customers:,} customers; another season may differ.",
        "- It says what customers like these did, not what an action would change.",
    ]
    if model.complement_of is not None:
        limits.append(f"- Learnt as the opposite of {model.complement_of.name}; the two never contradict.")
    return limits
