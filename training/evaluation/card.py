"""The card of a model version: what it answers, for whom, how well, and its limits. As Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.spec import Question
from training.evaluation.evaluate import RANKING, Evaluation


@dataclass(frozen=True)
class CardFacts:
    """What a card says beside what was measured; each text is a line.

    Attributes:
        meaning: of the score.
        asked_of: who is asked about.
        data: what it learnt from and was tested on.
        shown_on: what the measures come from, such as ``a later time``.
        reads: per feature its description.
    """

    meaning: str
    asked_of: Sequence[str]
    data: Sequence[str]
    shown_on: str
    reads: dict[str, str]
    limits: Sequence[str]


def card(
    model: Question,
    facts: CardFacts,
    evaluation: Evaluation,
    failed_gates: Sequence[str],
    held_against: Sequence[str] = (),
    findings: Iterable[tuple[str, str]] = (),
) -> str:
    """The card.

    Args:
        held_against: what it was compared with, and what came of that, a line each.
        found: title and text of what else the test showed.
    """
    sections = [
        [f"# {model.name}", model.question, f"Score: {facts.meaning}."],
        ["## Asked of", *(f"- {line}" for line in facts.asked_of)],
        ["## Data", *(f"- {line}" for line in facts.data)],
        [f"## Shown on {facts.shown_on}", *_measures(evaluation)],
        *([["## By slice", *_slices(evaluation)]] if evaluation.by_slice else []),
        ["## Gates", *([f"- shut: {words}" for words in failed_gates] or ["All open."])],
        *([["## Held against", *(f"- {line}" for line in held_against)]] if held_against else []),
        *([f"## {title}", "```text", text, "```"] for title, text in findings),
        ["## Reads", *(f"- `{name}`: {meaning}" for name, meaning in facts.reads.items())],
        ["## Limits", *(f"- {line}" for line in facts.limits)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


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
