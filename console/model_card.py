"""The card of a version in sections, for a page in the visitor's language.

Training writes the card as Markdown in English, and MLflow keeps it. Texts of a section are sentences of the
catalogue (:mod:`console.words.sentences`); the cells of its table are names, sentences or numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from console.words.features import feature_name, feature_value, measure_name
from console.words.messages import NONE, Translator
from console.words.sentences import sentence
from features.group import Feature

ELSEWHERE = ("Measured on ", "By slice", "Plots")
"""The beginnings of the titles of sections whose numbers the page of a version has in tables and charts."""
_NUMBER = re.compile(r"[+−-]?[\d.,]+%?")
_PART = re.compile(r"(\w+) (at most|at least|is) (.+)")
_ITEM = re.compile(r"`(\w+)`: (.+)", re.DOTALL)
_BETWEEN_CELLS = re.compile(r"\s{2,}|\s(?=too few)|(?<=too few)\s")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_DAYS = re.compile(r"(\d+) days")


@dataclass(frozen=True)
class CardSection:
    """A part of a card.

    Attributes:
        title: empty for the first part, which says what the model is about.
        texts: its paragraphs. items: the entries of its list.
        features: names of features with their meaning.
        head: the headings of its table; empty for none. rows: the cells of the table.
    """

    title: str
    texts: Sequence[str]
    items: Sequence[str]
    features: Mapping[str, str]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def sections(words: Translator, card: str, known: Mapping[str, Feature]) -> list[CardSection]:
    """The sections of a card, without those that its page has in other forms.

    Args:
        card: Markdown, as :mod:`training.evaluation.card` writes it; empty for none.
        known: the shop's features by name.
    """
    first, *others = card.split("\n## ") if card else [""]
    parts = [("", first.partition("\n")[2]), *(other.partition("\n")[::2] for other in others)]
    return [
        _section(words, title, body.splitlines(), known)
        for title, body in parts
        if body.strip() and not title.startswith(ELSEWHERE)
    ]


def _section(
    words: Translator, title: str, lines: Sequence[str], known: Mapping[str, Feature]
) -> CardSection:
    texts: list[str] = []
    items: list[str] = []
    rows: list[list[str]] = []
    is_fenced = False
    for line in lines:
        if line.startswith("```"):
            is_fenced = not is_fenced
        elif line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif is_fenced and len(cells := _BETWEEN_CELLS.split(line.strip())) > 1:
            rows.append(cells)
        elif line.startswith("- "):
            items.append(line.removeprefix("- "))
        elif line and items:  # a description of several lines
            items[-1] += f" {line}"
        elif line:
            texts.append(line)
    described = {match[1]: match[2] for item in items if (match := _ITEM.fullmatch(item))}
    head, *body = _table(words, rows, known) if rows else [[]]
    return CardSection(
        title,
        texts,
        [item for item in items if not _ITEM.fullmatch(item)],
        {name: _meaning(words, name, text, known) for name, text in described.items()},
        head,
        body,
    )


def _meaning(words: Translator, name: str, text: str, known: Mapping[str, Feature]) -> str:
    """What a feature means; one of the model of categories, whose text is its unit, by a name of its own."""
    if name not in known:
        own = words.choice("category_input", name)
        return sentence(words, text) if own == name else own
    return text if words.language == "en" else feature_name(words, name, known)


def _table(
    words: Translator, rows: Sequence[Sequence[str]], known: Mapping[str, Feature]
) -> Iterator[list[str]]:
    """The headings of a table, and its rows; a table whose first row has a number has no headings."""
    has_head = not any(_NUMBER.fullmatch(cell) for cell in rows[0])
    yield [_heading(words, cell) for cell in rows[0]] if has_head else []
    for row in rows[has_head:]:
        if not set("".join(row)) <= {"-"}:  # the line below the headings
            yield [_cell(words, cell, known) for cell in row]


def _heading(words: Translator, cell: str) -> str:
    if match := _DAYS.fullmatch(cell):
        return words("model_versions.days_before", n=int(match[1]))
    name = words.choice("card_column", cell)
    return name if name != cell else words.choice("baseline", measure_name(words, cell))


def _cell(words: Translator, cell: str, known: Mapping[str, Feature]) -> str:
    if cell == "-":
        return NONE
    if _DAY.fullmatch(cell):
        return words.day(cell)
    if words.language == "en" or _NUMBER.fullmatch(cell):
        return cell
    if cell in known:
        return feature_name(words, cell, known)
    if (match := _PART.fullmatch(cell)) and match[1] in known:
        part = {"at most": "at_most", "at least": "at_least", "is": "is"}[match[2]]
        named = match[3] if _NUMBER.fullmatch(match[3]) else _value(words, match[1], match[3])
        return words(f"card_part.{part}", feature=feature_name(words, match[1], known), value=named)
    return sentence(words, cell)


def _value(words: Translator, feature: str, text: str) -> str:
    """A value by which a part of the customers is named."""
    if text in ("True", "False"):
        return words("features.yes" if text == "True" else "features.no")
    return sentence(words, text) if text == "missing" else feature_value(words, feature, "", text)
