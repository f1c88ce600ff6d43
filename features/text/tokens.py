"""Texts as tokens and n-grams, in English and Chinese by the same rules and without a segmenter.

A word of letters is a token, and so is a number, a sign or an emoji. Numbers of five digits or more are left
out: they are an order's or a telephone's, and would stand in what is published. Of scripts that put no spaces
between words (Han, kana, hangul) each character is one, so that their n-grams are n-grams of characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

MAX_CHARACTERS = 20_000
"""So much of a text is read; what follows says nothing more."""

_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_TOKEN = re.compile(rf"[{_SINGLE}]|[^\W\d_{_SINGLE}]+(?:'[^\W\d_{_SINGLE}]+)*|(?<!\d)\d{{1,4}}(?!\d)|[^\w\s]")
_BETWEEN_SINGLES = re.compile(rf"(?<=[{_SINGLE}]) (?=[{_SINGLE}])")
_IN_SINGLE = re.compile(f"[{_SINGLE}]")

Language = Literal["en", "zh"]


def normalised(text: Any) -> str:
    """A text in Unicode's compatibility form (NFKC), without case; empty for None and not a number.

    What no encoding can hold (half of a surrogate pair) is left out.
    """
    if text is None or text != text:
        return ""
    cut = str(text)[:MAX_CHARACTERS].encode("utf-8", "ignore").decode()
    return unicodedata.normalize("NFKC", cut).casefold().replace("’", "'")


def tokens(text: Any) -> list[str]:
    """The tokens of a text, in order."""
    return _TOKEN.findall(normalised(text))


def ngrams(words_of_text: Sequence[str], words: int, characters: int) -> list[str]:
    """Runs of tokens, joined by spaces, shorter ones first.

    Args:
        found: the tokens of a text.
        words: the longest run, in tokens, that begins with a word, a number or a sign.
        characters: the longest one that begins with a character of a script without spaces.
    """
    made = list(words_of_text)
    runs = made
    single = [_IN_SINGLE.match(token) is not None for token in words_of_text]
    for n in range(2, max(words, characters) + 1):
        runs = [f"{run} {token}" for run, token in zip(runs, words_of_text[n - 1 :], strict=False)]
        if n <= min(words, characters):
            made = made + runs
        else:
            made = made + [r for r, s in zip(runs, single, strict=False) if s is (characters >= n)]
    return made


def as_written(ngram: str) -> str:
    """An n-gram as people write it: no spaces between characters of scripts that have none."""
    return _BETWEEN_SINGLES.sub("", ngram)


def language(text: Any) -> Language | None:
    """The language of a text, told by its script alone; None where it has no letters of either.

    Chinese where at least half of its words and characters are Han, so that a model's name in Latin
    letters changes nothing; English stands for every language in Latin script.
    """
    words = tokens(text)
    han = sum(_HAN.match(token) is not None for token in words)
    latin = sum("LATIN" in unicodedata.name(token[0], "") for token in words)
    if not han and not latin:
        return None
    return "zh" if han >= latin else "en"
