"""The model card of a version as Markdown: its question, customers, measures and limits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from models.spec import Question
from training.evaluation.evaluate import RANKING, Evaluation
from training.evaluation.tenths import table_of


@dataclass(frozen=True)
class CardFacts:
    """The texts of a card, apart from the measures; each text is a line.

    Attributes:
        meaning: of the score.
        customers: the customers that the model is about.
        data: the training and test data.
        test_data: the test data of the measures, such as ``a later time``.
        reads: the description of each feature.
    """

    meaning: str
    customers: Sequence[str]
    data: Sequence[str]
    test_data: str
    reads: dict[str, str]
    limits: Sequence[str]


def card(
    model: Question,
    facts: CardFacts,
    evaluation: Evaluation,
    failed_gates: Sequence[str],
    comparisons: Sequence[str] = (),
    findings: Iterable[tuple[str, str]] = (),
    figures: Collection[str] = (),
) -> str:
    """Render the card.

    Args:
        comparisons: the comparisons with other models, a line each.
        findings: title and text of further results.
        figures: the names of the run's figures.
    """
    sections = [
        [f"# {model.name}", model.question, f"Score: {facts.meaning}."],
        ["## Customers", *(f"- {line}" for line in facts.customers)],
        ["## Data", *(f"- {line}" for line in facts.data)],
        [f"## Measured on {facts.test_data}", *_measures(evaluation)],
        *([["## By slice", *_slices(evaluation)]] if evaluation.by_slice else []),
        ["## Gates", *([f"- failed: {words}" for words in failed_gates] or ["All passed."])],
        *([["## Compared with", *(f"- {line}" for line in comparisons)]] if comparisons else []),
        *([f"## {title}", "```text", text, "```"] for title, text in findings),
        *([["## Plots", *(f"![{name}](plots/{name}.png)" for name in figures)]] if figures else []),
        ["## Features", *(f"- `{name}`: {meaning}" for name, meaning in facts.reads.items())],
        ["## Limits", *(f"- {line}" for line in facts.limits)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _measures(evaluation: Evaluation) -> list[str]:
    rows = [f"| {name} | {value:.4g} |" for name, value in evaluation.metrics.items()]
    return [
        "| measure | value |",
        "|---|---|",
        *rows,
        "",
        *table_of(evaluation.kind, evaluation.tenths),
    ]


def _slices(evaluation: Evaluation) -> list[str]:
    name, _ = RANKING[evaluation.kind]
    lines = [f"| slice | customers | {name} | predicted | actual |", "|---|---|---|---|---|"]
    for row in evaluation.by_slice:
        ranked = "too few" if row.measure is None else f"{row.measure:.3f}"
        lines.append(f"| {row.of} | {row.customers:,} | {ranked} | {row.predicted:.4g} | {row.actual:.4g} |")
    return lines
