"""Texts as tokens and n-grams, by the same rules for English and Chinese, without a segmenter.

A token is a word of letters, a number, a sign or an emoji. Numbers of five digits or more are left out: they
identify orders or telephones and must not be published. In scripts without spaces between words (Han, kana,
hangul) each character is a token, so that n-grams are n-grams of characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

MAX_CHARACTERS = 20_000
"""The number of characters of a text that are read; the rest is ignored."""

_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_TOKEN = re.compile(rf"[{_SINGLE}]|[^\W\d_{_SINGLE}]+(?:'[^\W\d_{_SINGLE}]+)*|(?<!\d)\d{{1,4}}(?!\d)|[^\w\s]")
_BETWEEN_SINGLES = re.compile(rf"(?<=[{_SINGLE}]) (?=[{_SINGLE}])")
_IN_SINGLE = re.compile(f"[{_SINGLE}]")

Language = Literal["en", "zh"]


def normalised(text: Any) -> str:
    """A text in Unicode's compatibility form (NFKC), case-folded; empty for None and NaN.

    Unpaired surrogates, which cannot be encoded, are left out.
    """
    if text is None or text != text:
        return ""
    cut = str(text)[:MAX_CHARACTERS].encode("utf-8", "ignore").decode()
    return unicodedata.normalize("NFKC", cut).casefold().replace("’", "'")


def tokens(text: Any) -> list[str]:
    """The tokens of a text, in order."""
    return _TOKEN.findall(normalised(text))


def ngrams(words_of_text: Sequence[str], words: int, characters: int) -> list[str]:
    """The n-grams of tokens, joined by spaces, shorter ones first.

    Args:
        found: the tokens of a text.
        words: the maximum length, in tokens, of those that begin with a word, a number or a sign.
        characters: that of those that begin with a character of a script without spaces.
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
    """An n-gram as people write it: without spaces between characters of scripts that have none."""
    return _BETWEEN_SINGLES.sub("", ngram)


def language(text: Any) -> Language | None:
    """The language of a text, by its script alone; None if it has letters of neither.

    Chinese if at least half of its words and characters are Han, so that a product's name in Latin letters
    changes nothing. English stands for every language in Latin script.
    """
    words = tokens(text)
    han = sum(_HAN.match(token) is not None for token in words)
    latin = sum("LATIN" in unicodedata.name(token[0], "") for token in words)
    if not han and not latin:
        return None
    return "zh" if han >= latin else "en"
