"""Feedback read by the classifier that is promoted: one text, or a file of texts into another file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from core.progress import Progress, silent
from events.files.table import Table, open_table
from features.text.classifier import TextClassifier, TextReason
from features.text.lexicon import LEXICON
from models.registry.registry import Registry
from models.text.bundle import NAME, open_classifier
from models.text.judgement import Judgement, judge
from serving.files import tables, writing

BATCH = 1000  # texts
BETWEEN = "; "


def open_champion(registry: Registry) -> tuple[str, TextClassifier]:
    """The version that answers, and what it learnt.

    Raises:
        NoChampion: none was promoted; the text says why.
        PatronError: its files are missing or damaged.
    """
    version = registry.champion_version(NAME)
    return version, open_classifier(version, *registry.files(NAME, version))


def judge_table(
    registry: Registry, place: str | Path, text: str, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Judge every text of a table into ``out`` (a file as in ``tables.KINDS``), in the table's order.

    The columns are ``row`` (from 1), ``text``, ``content`` (the probability that the author is content;
    null where there is no text), ``confidence``, ``language``, ``topics`` with the probability of each,
    ``for`` and ``against`` (the words that told so), and ``feedback_version``.

    Returns:
        How many rows and texts there were, and of the texts the mean probability, and per topic how many
        mention it and the mean probability of what they say of it.

    Raises:
        PatronError: the table has no such column, there is no champion, or the file cannot be written there.
    """
    writing.check_place(out, tables.KINDS)
    progress("opening the model", 0.0)
    version, classifier = open_champion(registry)
    progress("reading", 0.1)
    table = open_table(place)
    texts = texts_of(table, text)
    judged: list[Judgement | None] = []

    def judged_tables() -> Iterator[pa.Table]:
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            judgements = judge(classifier, [one for one in batch if one is not None])
            part = [None if one is None else next(judgements) for one in batch]
            judged.extend(part)
            progress("judging", 0.1 + 0.9 * len(judged) / len(texts))
            yield _rows(start, batch, part, version)

    tables.write(judged_tables(), out)
    known = [one for one in judged if one is not None]
    return {
        "rows": table.rows, "texts": len(known), "out": str(out), "version": version,
        "content": float(np.mean([one.probability for one in known])) if known else None,
        "topics": topics_of(known), "notes": list(table.notes),
    }  # fmt: skip


def texts_of(table: Table, name: str) -> list[str | None]:
    """The texts of a column; None where a cell is blank."""
    texts: list[str | None] = table.typed({name: "string"})[name].to_pylist()
    return texts


def topics_of(judged: Sequence[Judgement]) -> dict[str, dict[str, float]]:
    """Per topic how many texts mention it and the mean probability of what they say, the commonest first."""
    by_topic: dict[str, list[float]] = {topic: [] for topic in LEXICON}
    for one in judged:
        for topic in one.topics:
            by_topic[topic.topic].append(topic.probability)
    commonest = sorted(
        (topic for topic in by_topic if by_topic[topic]),
        key=lambda topic: -len(by_topic[topic]),
    )
    return {
        topic: {"texts": len(by_topic[topic]), "content": float(np.mean(by_topic[topic]))}
        for topic in commonest
    }


def _rows(
    start: int, texts: Sequence[str | None], judged: Sequence[Judgement | None], version: str
) -> pa.Table:
    def column(of: Any, dtype: pa.DataType) -> pa.Array:
        return pa.array([None if one is None else of(one) for one in judged], dtype)

    return pa.table(
        {
            "row": pa.array(np.arange(start + 1, start + len(texts) + 1)),
            "text": pa.array(texts, pa.string()),
            "content": column(lambda one: one.probability, pa.float64()),
            "confidence": column(lambda one: one.confidence, pa.float64()),
            "language": column(lambda one: one.language, pa.string()),
            "topics": column(_topics, pa.string()),
            "for": column(lambda one: _words(one.in_favour), pa.string()),
            "against": column(lambda one: _words(one.against), pa.string()),
            "feedback_version": pa.array([version] * len(texts), pa.string()).dictionary_encode(),
        }
    )


def _topics(judged: Judgement) -> str:
    return BETWEEN.join(f"{topic.topic} {topic.probability:.0%}" for topic in judged.topics)


def _words(reasons: Sequence[TextReason]) -> str:
    return BETWEEN.join(reason.ngram for reason in reasons)
