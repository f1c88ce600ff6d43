"""The words of rules: the features, scores, dates and audiences that a rule can name, and their values."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from decisions.rules.dates import BIRTHDAY_TRAITS, CUSTOMER_DATES, FESTIVALS
from decisions.rules.tree import (
    DateWithin,
    InAudience,
    Operator,
    Rule,
    Scalar,
    Term,
    TermComparison,
    negation,
)
from features.group import Feature
from features.groups import FEATURES
from features.groups.declared import GROUP as TRAITS
from features.groups.segment_rules import current_name
from models.questions import every

EVENTS: Mapping[str, str] = {
    "order": "recency_days",
    "first_order": "tenure_days",
    "discounted_order": "days_since_discounted_order",
    "visit": "days_since_visit",
    "abandoned_cart": "days_since_abandoned_cart",
    "contact": "days_since_contact",
    "open": "days_since_open",
    "click": "days_since_click",
    "opt_out": "days_since_opt_out",
    "review": "days_since_review",
    "complaint": "days_since_complaint",
    "survey": "days_since_survey",
    "cancellation": "days_since_cancellation",
    "subscription_end": "days_since_subscription_end",
}
"""By event, the feature that counts the days since the last one."""
ALIASES: Mapping[str, str] = {"open_complaint": "open_complaints"}
MAX_DAYS = 366
_TYPES = {"string": "a text", "boolean": "true or false"}
_MAX_INTEGER = 2**63


class RuleError(ValueError):
    """A rule that cannot be used; the message says where, what is wrong and what is expected."""


@dataclass(frozen=True)
class Vocabulary:
    """What rules can name.

    Attributes:
        features: the shop's features by name.
        audiences: the names of the audiences; None if names are checked later.
    """

    features: Mapping[str, Feature]
    audiences: Collection[str] | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all terms."""
        return (*self.features, *(name for name in every() if name not in self.features))

    def term(self, name: str) -> Term:
        """The term with that name.

        Raises:
            RuleError: there is none; the message suggests similar names.
        """
        name = ALIASES.get(name, name)
        if name in self.features:
            return Term(name, self.features[name].dtype)
        if name in every():
            return Term(name, "float64", is_score=True)
        raise RuleError(f"there is no feature {name!r}; {_suggestion(name, self.names)}")

    def since(self, event: str) -> Term:
        """The days since the last event of a kind."""
        if event not in EVENTS:
            raise RuleError(f"no days are counted since {event!r}; {_suggestion(event, EVENTS, 'use')}")
        return self.term(EVENTS[event])

    def date_within(self, name: str, days: int) -> DateWithin:
        """A date within the next days."""
        if not 0 <= days <= MAX_DAYS:
            raise RuleError(f"within takes 0 to {MAX_DAYS} days")
        if name in FESTIVALS:
            return DateWithin(name, days)
        if name == "birthday":
            traits = [trait for trait in BIRTHDAY_TRAITS if self.is_day(trait)]
            if not traits:
                raise RuleError(
                    "birthday needs a declared trait; add to home.toml a section [traits.birthday] with"
                    ' kind = "day"'
                )
            return DateWithin(name, days, self.term(traits[0]))
        if name in CUSTOMER_DATES:
            return DateWithin(name, days, self.term(CUSTOMER_DATES[name]))
        if self.is_day(name):
            return DateWithin(name, days, self.term(name))
        dates = ["birthday", *CUSTOMER_DATES, *FESTIVALS, *(n for n in self.features if self.is_day(n))]
        raise RuleError(f"there is no date {name!r}; {_suggestion(name, dates, 'use')}")

    def is_day(self, name: str) -> bool:
        """Whether a feature is a declared trait that is a day."""
        feature = self.features.get(name)
        return feature is not None and feature.group.name == TRAITS and feature.unit == "days"

    def audience(self, name: str) -> InAudience:
        """Membership of an audience."""
        if self.audiences is not None and name not in self.audiences:
            raise RuleError(f"there is no audience {name!r}; {_suggestion(name, self.audiences, 'use')}")
        return InAudience(name)


def comparison(term: Term, operator: Operator, values: Sequence[Scalar]) -> Rule:
    """The comparison of a term with values of its own type.

    Texts are in Unicode's form NFC; the former name of a segment becomes its present one.

    Raises:
        RuleError: a value is of another type than the term.
    """
    if operator != "in" and term.dtype in _TYPES:
        raise RuleError(f"{term.name} is {_TYPES[term.dtype]}, so it cannot be compared like this")
    normal = tuple(dict.fromkeys(_value(term, value) for value in values))
    if term.dtype == "boolean":
        if len(normal) > 1:
            raise RuleError(f"{term.name} is true or false; name one of them, or write: {term.name} is known")
        truth = TermComparison(term, "in", (True,))
        return truth if normal[0] else negation(truth)
    return TermComparison(term, operator, normal)


def bare(term: Term) -> Rule:
    """What a term alone means: that a truth value is true, or that a count is above 0.

    Raises:
        RuleError: the term is a text, an amount or a probability.
    """
    if term.dtype == "boolean":
        return comparison(term, "in", [True])
    if term.dtype == "int64":
        return comparison(term, ">", [0])
    example = f'{term.name} = "…"' if term.dtype == "string" else f"{term.name} > …"
    raise RuleError(f"{term.name} is {_TYPES.get(term.dtype, 'a number')}; compare it, as in {example}")


def vocabulary(
    features: Mapping[str, Feature] | None, audiences: Collection[str] | None = None
) -> Vocabulary:
    """The vocabulary of a shop's features; of those of every shop for None."""
    return Vocabulary(FEATURES if features is None else features, audiences)


def _value(term: Term, value: Scalar) -> Scalar:
    """A value of a term's type."""
    if term.dtype == "string" and isinstance(value, str):
        return current_name(term.name, unicodedata.normalize("NFC", value))
    if term.dtype == "boolean" and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if term.dtype in _TYPES or not number:
        written = f'; in quotes "{value}" is a text' if term.dtype == "string" else ""
        kind = _TYPES.get(term.dtype, "a number")
        raise RuleError(f"{term.name} is {kind}, so it cannot be compared like this{written}")
    assert isinstance(value, int | float)
    if not abs(value) < _MAX_INTEGER:
        raise RuleError(f"{term.name} cannot be compared with a number of that size")
    if term.dtype == "float64":
        return float(value) + 0.0
    return int(value) if value == int(value) else value


def _suggestion(name: str, known: Iterable[str], otherwise: str = "") -> str:
    known = list(known)
    matches = difflib.get_close_matches(name, known, n=3)
    if matches:
        return f"did you mean {' or '.join(matches)}?"
    return f"{otherwise} {', '.join(known)}" if otherwise else "`patron features` lists them"
