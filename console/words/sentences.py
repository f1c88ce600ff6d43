"""Sentences of other layers in the visitor's language: errors, checks, warnings, gates.

Those layers write them in English, and logs, jobs and published models have them as they were written. The
TOML files of the folder ``sentences`` have the Chinese next to the English, as catalogues of gettext do::

    "{model} has no version {name}; there are {names}" = "“{model}”没有版本 {name}；现有：{names}"

A name in braces is a value. What stands before the first ``_`` of the name is its kind, see :data:`_KINDS`;
values of other kinds stay as they are. Where the English is for programs, a table has the words for people in
both languages: ``{ en = "…", zh = "…" }``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from console.words.features import feature_name, measure_name
from console.words.messages import Translator
from console.words.spacing import filled
from core.errors import PatronError
from decisions.names import channels, refusals, regions

MAX_LENGTH = 2000
"""Longer texts, in characters, stay as they are."""
_PLACE = re.compile(r"\{(\w+)\}")
_QUOTED = re.compile(r"'([^']*)'")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d)(?: UTC)?")
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_ENGLISH = re.compile(r"^[^\u4e00-\u9fff`“]*[A-Za-z]{2}[^\u4e00-\u9fff`“]*$")
_PATTERNS = {
    "model": r"\w+",
    "models": r"[\w', ]+?",
    "measure": r"\w+",
    "code": r"\S+?",
    "n": r"[\d.,]+",
    "baseline": r"\w+",
    "currency": "[A-Z]{3}",
    "amount": r"[+−]?[\d.,]+",
    "points": r"[+−]?[\d.,]+",
    "value": r"[+−-]?[\d.,e-]+%?",
}
"""By kind, what a value looks like; one of another kind is anything."""


@dataclass(frozen=True)
class Template:
    """A sentence with places for values.

    Attributes:
        english: matches the finished sentence; its groups are the values.
        texts: by language, in the form of ``str.format``; without English if the sentence itself is shown.
        literal: the number of characters outside of places.
    """

    english: re.Pattern[str]
    texts: Mapping[str, str]
    literal: int


@cache
def templates() -> tuple[Template, ...]:
    """All templates, those with the most text of their own first."""
    pairs: dict[str, str | dict[str, str]] = {}
    for path in sorted((Path(__file__).parent / "sentences").glob("*.toml")):
        pairs |= tomllib.loads(path.read_text(encoding="utf-8"))
    made = [_template(english, texts) for english, texts in pairs.items()]
    return tuple(sorted(made, key=lambda template: -template.literal))


def _template(english: str, texts: str | dict[str, str]) -> Template:
    parts = _PLACE.split(english)
    seen: set[str] = set()
    pattern = ""
    for i, part in enumerate(parts):
        if i % 2 == 0:
            pattern += re.escape(part)
        elif part in seen:
            pattern += f"(?P={part})"
        else:
            seen.add(part)
            pattern += f"(?P<{part}>{_pattern(part)})"
    by_language = {"zh": texts} if isinstance(texts, str) else texts
    return Template(re.compile(pattern, re.DOTALL), by_language, sum(map(len, parts[::2])))


def _pattern(name: str) -> str:
    return _PATTERNS.get(name.partition("_")[0], ".+?")


def sentence(words: Translator, text: str) -> str:
    """A sentence of another layer in the visitor's language; as it is if the catalogue lacks it."""
    if len(text) > MAX_LENGTH or _CHINESE.search(text):
        return text
    for template in templates():
        own = template.texts.get(words.language)
        match = template.english.fullmatch(text) if own else None
        if own and match and (values := _values(words, match.groupdict())):
            return filled(own, values) if words.language == "zh" else own.format(**values)
    refusal = refusals.NO_ANSWER if words.language == "en" else refusals.refusal_in_chinese(text)
    if refusal != refusals.NO_ANSWER:
        return refusal
    parts = text.split("; ")
    translated = [sentence(words, part) for part in parts] if len(parts) > 1 else parts
    return "；".join(translated) if translated != parts else text


def error_text(words: Translator, error: PatronError) -> str:
    """The message of an error in the visitor's language."""
    return sentence(words, str(error))


def _values(words: Translator, groups: Mapping[str, str]) -> dict[str, str] | None:
    """The values of a sentence; None if one that is a sentence itself is unknown."""
    values = {name: _value(words, name, value) for name, value in groups.items()}
    chinese = words.language == "zh"
    unknown = any(chinese and name.startswith("text") and _ENGLISH.search(values[name]) for name in groups)
    return None if unknown else values or {"": ""}


def _value(words: Translator, name: str, value: str) -> str:
    write = _KINDS.get(name.partition("_")[0])
    if write is not None:
        return write(words, value)
    if match := _MOMENT.fullmatch(value):
        return words.moment(f"{match[1].replace(' ', 'T')}:00+00:00")
    return _QUOTED.sub(r"“\1”", value)


def _listed(words: Translator, value: str) -> str:
    del words
    return _QUOTED.sub(r"“\1”", value).replace(", ", "、").replace(" and ", "、")


def _models(words: Translator, value: str) -> str:
    return "、".join(words.choice("model", name.strip("'")) for name in re.split(r", | and ", value))


def _features(words: Translator, value: str) -> str:
    return "、".join(feature_name(words, name, {}) for name in value.split(", "))


def _day(words: Translator, value: str) -> str:
    return words.day(value) if _ISO_DAY.fullmatch(value) else value


_KINDS: Mapping[str, Callable[[Translator, str], str]] = {
    "model": _models,
    "models": _models,
    "measure": measure_name,
    "baseline": lambda words, value: words.choice("baseline", value),
    "day": _day,
    "feature": _features,
    "features": _features,
    "channel": lambda _words, value: channels.channel_in_chinese(value),
    "source": lambda _words, value: channels.source_in_chinese(value),
    "currency": lambda words, value: words.currency_name(value),
    "country": lambda _words, value: regions.country_in_chinese(value),
    "stage": lambda words, value: words.choice("stage", value),
    "state": lambda words, value: words.choice("job_status", value),
    "text": sentence,
    "code": lambda _words, value: f"`{value}`",
    "raw": lambda _words, value: f"`{value}`",
    "list": _listed,
}
"""By kind, how a value is written. A ``text`` is a sentence of the catalogue
itself, ``code`` a path, an address or a name in a file, and ``raw`` the message of another program."""
