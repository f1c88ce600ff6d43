"""Topics of texts, by lists of words that people can read, count and change.

They are not factors of a matrix: a shop needs the same named topics in every month and in both languages, and
sees which words led to a topic.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from features.text.lexicon import LEXICON, Lexicon
from features.text.tokens import normalised

_CLAUSE = re.compile(r"(?<=[.!?;,。、;…~\n])|\s(?=but\s|however\s|although\s)|(?=但是|不过|可是)")


@dataclass(frozen=True)
class Mention:
    """A topic in a text.

    Attributes:
        words: the words that led to it, in order of appearance, each once.
        passage: the clauses that contain them, from which its sentiment can be predicted.
    """

    topic: str
    words: tuple[str, ...]
    passage: str


def mentions(text: Any, lexicon: Lexicon = LEXICON) -> tuple[Mention, ...]:
    """The topics of a text, in the lexicon's order; none for None, NaN or an empty text."""
    clauses = [clause for clause in _CLAUSE.split(normalised(text)) if clause.strip()]
    results = []
    for topic, phrases in lexicon.items():
        pattern = _pattern(tuple(phrases))
        words = {clause: pattern.findall(clause) for clause in clauses}
        matched = tuple(dict.fromkeys(word for clause in clauses for word in words[clause]))
        if matched:
            passage = " ".join(clause.strip() for clause in clauses if words[clause])
            results.append(Mention(topic, matched, passage))
    return tuple(results)


def shares(texts: Sequence[Any], lexicon: Lexicon = LEXICON) -> dict[str, float]:
    """The share (0 to 1) of texts that mention each topic; 0 without texts."""
    total = max(len(texts), 1)
    topics = [mention.topic for text in texts for mention in mentions(text, lexicon)]
    return {topic: topics.count(topic) / total for topic in lexicon}


@cache
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern that matches any of the phrases: English by whole words, Chinese anywhere; longer ones first.

    The English half is tried only where a word can begin, which is a small part of a text.
    """
    by_length = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    english = "|".join(_english(phrase) for phrase in by_length if phrase.isascii())
    chinese = "|".join(re.escape(phrase) for phrase in by_length if not phrase.isascii())
    halves = [rf"(?<![a-z])(?:{english})(?![a-z])" if english else "", chinese]
    return re.compile("|".join(half for half in halves if half))


def _english(phrase: str) -> str:
    stem = r"\s+".join(re.escape(word) for word in phrase.removesuffix("*").split())
    return rf"{stem}{'[a-z]*' if phrase.endswith('*') else ''}"
