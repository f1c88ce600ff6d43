"""Rules as one line of text, such as ``churn > 0.5 and value_tier in (A, B) and not open_complaints``.

::

    rule        = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation    = "not" negation | part
    part        = "(" rule ")" | ("all" | "any" | "none") "(" rule { "," rule } ")"
                | "in" "audience" NAME | DATE "within" DAYS "days" | term [ test ]
    term        = FEATURE | MODEL | "since" EVENT
    test        = ("=" | "!=" | "<" | "<=" | ">" | ">=") value | [ "not" ] "in" "(" value { "," value } ")"
                | "between" NUMBER "and" NUMBER | "is" [ "not" ] "known"
    value       = NUMBER [ "%" ] | WORD | TEXT in quotes | "true" | "false"

``not`` binds more strongly than ``and``, and ``and`` than ``or``. A term alone is a truth value that is
true, or a count above 0. A word that is no number, keyword or truth value needs no quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import NoReturn, TypeVar, cast

from decisions.rules.tokens import KEYWORDS, SYMBOLS, Token, tokens
from decisions.rules.tree import Known, Operator, Rule, Scalar, Term, all_of, any_of, group_of, negation
from decisions.rules.vocabulary import RuleError, Vocabulary, bare, comparison

MAX_DEPTH = 50
T = TypeVar("T")


def parse(text: str, words: Vocabulary) -> Rule:
    """The rule that a line of text is.

    Raises:
        RuleError: the text is no rule; the message has the column, the text there and what is expected.
    """
    return _Parser(tokens(text), words).whole()


class _Parser:
    """A recursive descent over the tokens, with one function per line of the grammar."""

    def __init__(self, pieces: list[Token], words: Vocabulary) -> None:
        self._tokens, self._words, self._position, self._depth = pieces, words, 0, 0

    def whole(self) -> Rule:
        rule = self._rule()
        if self._next.kind != "end":
            self._refuse("and, or, or the end of the rule")
        return rule

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _take(self) -> Token:
        token = self._next
        self._position += token.kind != "end"
        return token

    def _accept(self, *texts: str) -> Token | None:
        """The next token if it is one of these words or symbols."""
        token = self._next
        text = SYMBOLS.get(token.text, token.text).lower()
        return self._take() if token.kind in ("word", "symbol") and text in texts else None

    def _expect(self, text: str, meaning: str | None = None) -> None:
        if self._accept(text) is None:
            self._refuse(meaning or text)

    def _refuse(self, expected: str) -> NoReturn:
        token = self._next
        there = "the rule ends" if token.kind == "end" else f"there is {token.text[:40]!r}"
        raise RuleError(f"column {token.column}: {there}; expected {expected}")

    def _rule(self) -> Rule:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"at most {MAX_DEPTH} parentheses inside each other")
        parts = [self._conjunction()]
        while self._accept("or"):
            parts.append(self._conjunction())
        self._depth -= 1
        return any_of(parts)

    def _conjunction(self) -> Rule:
        parts = [self._negation()]
        while self._accept("and"):
            parts.append(self._negation())
        return all_of(parts)

    def _negation(self) -> Rule:
        opposite = False
        while self._accept("not"):
            opposite = not opposite
        part = self._part()
        return negation(part) if opposite else part

    def _part(self) -> Rule:
        if self._accept("("):
            rule = self._rule()
            self._expect(")", "and, or, or )")
            return rule
        if group := self._accept("all", "any", "none"):
            return self._group(group.text.lower())
        if self._accept("in"):
            self._expect("audience")
            return self._named(self._words.audience, "the name of an audience")
        if self._accept("since"):
            return self._test(*self._named_term(self._words.since, "an event such as order or visit"))
        if self._next.kind == "word" and self._tokens[self._position + 1].text.lower() == "within":
            return self._date()
        return self._test(*self._named_term(self._words.term, "a feature, a score or ("))

    def _group(self, kind: str) -> Rule:
        self._expect("(")
        parts = [self._rule()]
        while self._accept(","):
            parts.append(self._rule())
        self._expect(")", ", or )")
        return group_of(kind, parts)

    def _date(self) -> Rule:
        token = self._take()
        self._expect("within")
        days = self._number("a number of days")
        if self._accept("days", "day") is None:
            self._refuse("days")
        if not isinstance(days, int):
            raise RuleError(f"column {token.column}: within takes whole days")
        return _placed(token, lambda: self._words.date_within(token.text, days))

    def _test(self, token: Token, term: Term) -> Rule:
        opposite = False
        if self._accept("is"):
            opposite = self._accept("not") is not None
            self._expect("known")
            rule: Rule = Known(term)
        elif self._next.text.lower() == "not" and self._tokens[self._position + 1].text.lower() == "in":
            self._take()
            return negation(self._test(token, term))
        elif self._accept("in"):
            values = self._values()
            rule = _placed(token, lambda: comparison(term, "in", values))
        elif self._accept("between"):
            low = self._number("a number")
            self._expect("and")
            high = self._number("a number")
            bounds = cast(tuple[tuple[Operator, float], ...], ((">=", low), ("<=", high)))
            rule = _placed(token, lambda: all_of(comparison(term, o, [b]) for o, b in bounds))
        elif operator := self._accept("=", "!=", "<", "<=", ">", ">="):
            symbol = SYMBOLS.get(operator.text, operator.text)
            value, opposite = self._value(), symbol == "!="
            sign = cast(Operator, "in" if symbol in ("=", "!=") else symbol)
            rule = _placed(token, lambda: comparison(term, sign, [value]))
        else:
            rule = _placed(token, lambda: bare(term))
        return negation(rule) if opposite else rule

    def _values(self) -> list[Scalar]:
        self._expect("(")
        values = [self._value()]
        while self._accept(","):
            values.append(self._value())
        self._expect(")", ", or )")
        return values

    def _value(self) -> Scalar:
        token = self._next
        if token.kind == "number":
            return self._number("a value")
        if token.kind == "text":
            self._take()
            return _unquoted(token)
        if token.kind != "word" or token.text.lower() in KEYWORDS - {"true", "false"}:
            self._refuse("a value; put a text in quotes")
        self._take()
        return token.text.lower() == "true" if token.text.lower() in ("true", "false") else token.text

    def _number(self, expected: str) -> int | float:
        token = self._next
        if token.kind != "number":
            self._refuse(expected)
        self._take()
        if token.text.endswith("%"):
            return float(Decimal(token.text[:-1]) / 100)
        return int(token.text) if re.fullmatch(r"-?\d+", token.text) else float(token.text)

    def _named_term(self, find: Callable[[str], Term], expected: str) -> tuple[Token, Term]:
        return self._next, self._named(find, expected)

    def _named(self, find: Callable[[str], T], expected: str) -> T:
        token = self._next
        if token.kind != "word" or token.text.lower() in KEYWORDS:
            self._refuse(expected)
        self._take()
        return _placed(token, lambda: find(token.text))


def _placed(token: Token, make: Callable[[], T]) -> T:
    """What ``make`` returns; its errors name the column of the token."""
    try:
        return make()
    except RuleError as error:
        raise RuleError(f"column {token.column}: {error}") from error


def _unquoted(token: Token) -> str:
    if token.text.startswith("'"):
        return token.text[1:-1]
    try:
        return str(json.loads(token.text))
    except ValueError as error:
        raise RuleError(f"column {token.column}: {token.text} has an unknown \\ code in quotes") from error
