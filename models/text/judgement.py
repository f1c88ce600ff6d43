"""The assessment of a text: its sentiment, its topics, and the deciding words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from features.text.classifier import TOP, TextClassifier, TextReason
from features.text.tokens import Language, language
from features.text.topics import mentions


@dataclass(frozen=True)
class TopicJudgement:
    """A topic of a text.

    Attributes:
        words: the words that indicate it.
        probability: calibrated, that the author is content, from the clauses that mention it.
    """

    topic: str
    words: tuple[str, ...]
    probability: float


@dataclass(frozen=True)
class Judgement:
    """The assessment of a text.

    Attributes:
        probability, confidence: see :class:`features.text.classifier.Predictions`.
        in_favour, against: the n-grams with the largest weights for and against, the largest first.
        topics: in the lexicon's order.
    """

    probability: float
    confidence: float
    language: Language | None
    in_favour: tuple[TextReason, ...]
    against: tuple[TextReason, ...]
    topics: tuple[TopicJudgement, ...]


def judge(classifier: TextClassifier, texts: Sequence[Any], top: int = TOP) -> Iterator[Judgement]:
    """Assess texts, in order.

    Args:
        texts: None and NaN count as empty texts.
        top: the maximum number of n-grams for, and against.
    """
    prediction = classifier.predict(texts)
    numbers = zip(prediction.probability.tolist(), prediction.confidence.tolist(), strict=True)
    for text, (probability, confidence) in zip(texts, numbers, strict=True):
        why = classifier.explain(text, top)
        yield Judgement(
            probability, confidence, language(text), why.in_favour, why.against, _topics(classifier, text)
        )


def _topics(classifier: TextClassifier, text: Any) -> tuple[TopicJudgement, ...]:
    mentioned = mentions(text)
    probability = classifier.predict([mention.passage for mention in mentioned]).probability.tolist()
    return tuple(TopicJudgement(m.topic, m.words, p) for m, p in zip(mentioned, probability, strict=True))
