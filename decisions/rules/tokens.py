"""The tokens of a rule as text: words, numbers, texts in quotes and symbols."""

from __future__ import annotations

import re
from typing import NamedTuple

from decisions.rules.vocabulary import RuleError

MAX_LENGTH = 4000
KEYWORDS = frozenset(
    (
        "and", "or", "not", "in", "is", "known", "between", "within", "since", "audience", "all", "any",
        "none", "true", "false", "days", "day",
    )
)  # fmt: skip
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'[^']*')
    |(?P<number>-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?%?(?!\w))
    |(?P<word>[^\W\d]\w*)
    |(?P<symbol><=|>=|!=|==|[=<>≤≥≠(),])
    |(?P<end>$))""",
    re.VERBOSE,
)
SYMBOLS = {"==": "=", "≤": "<=", "≥": ">=", "≠": "!="}
"""The other spellings of symbols."""


class Token(NamedTuple):
    """A piece of the text; ``column`` counts from 1."""

    kind: str
    text: str
    column: int


def tokens(text: str) -> list[Token]:
    """The tokens of a text; the last one is its end.

    Raises:
        RuleError: a character begins no token, or the text is too long.
    """
    if len(text) > MAX_LENGTH:
        raise RuleError(f"a rule has at most {MAX_LENGTH} characters; name parts of it as audiences")
    pieces: list[Token] = []
    position = 0
    while not pieces or pieces[-1].kind != "end":
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            start = len(text) - len(text[position:].lstrip())
            hint = "; the quote is not closed" if text[start] in "\"'" else ""
            raise RuleError(f"column {start + 1}: {text[start : start + 12]!r} cannot be read{hint}")
        kind = match.lastgroup
        pieces.append(Token(kind, match[kind], match.start(kind) + 1))
        position = match.end()
    return pieces
