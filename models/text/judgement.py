"""What a text says: how content its author is, about what, and the words that tell so."""

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
        words: those that made it.
        probability: calibrated, that the author is content, of the clauses that mention it.
    """

    topic: str
    words: tuple[str, ...]
    probability: float


@dataclass(frozen=True)
class Judgement:
    """A text as it was read.

    Attributes:
        probability, confidence: see :class:`features.text.classifier.Predictions`.
        in_favour, against: the n-grams that spoke most for and against a content author, the strongest first.
        topics: in the lexicon's order.
    """

    probability: float
    confidence: float
    language: Language | None
    in_favour: tuple[TextReason, ...]
    against: tuple[TextReason, ...]
    topics: tuple[TopicJudgement, ...]


def judge(classifier: TextClassifier, texts: Sequence[Any], top: int = TOP) -> Iterator[Judgement]:
    """Read texts, one judgement each, in order.

    Args:
        texts: None and not a number are empty texts, of which nothing is known.
        top: at most so many n-grams for and as many against.
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
