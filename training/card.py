"""The card of a model version: what it answers, for whom, how well, and its limits. As Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.spec import CustomerModel
from training.dataset import Split
from training.evaluate import RANKING, Evaluation


def card(
    model: CustomerModel, parts: Split, evaluation: Evaluation, refusals: Sequence[str], data_digest: str
) -> str:
    """The card."""
    sections = [
        [f"# {model.name}", model.question, f"Score: {model.meaning.format(days=parts.horizon_days)}."],
        ["## Asked of", *(f"- nobody who {c.otherwise}" for c in model.eligible)],
        ["## Data", *_data(parts, data_digest)],
        ["## Shown on a later time", *_measures(evaluation)],
        ["## By slice", *_slices(evaluation)],
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


def _slices(evaluation: Evaluation) -> list[str]:
    name, _ = RANKING[evaluation.kind]
    lines = [f"| slice | customers | {name} | predicted | actual |", "|---|---|---|---|---|"]
    for row in evaluation.by_slice:
        ranked = "too few" if row.measure is None else f"{row.measure:.3f}"
        lines.append(f"| {row.of} | {row.customers:,} | {ranked} | {row.predicted:.4g} | {row.actual:.4g} |")
    return lines


def _limits(model: CustomerModel, evaluation: Evaluation) -> list[str]:
    limits: list[Any] = [
        f"- One later moment was tested, with {evaluation.customers:,} customers; another season may differ.",
        "- It says what customers like these did, not what an action would change.",
    ]
    if model.complement_of is not None:
        limits.append(f"- Learnt as the opposite of {model.complement_of.name}; the two never contradict.")
    return limits
