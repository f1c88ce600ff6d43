"""Rules as trees: comparisons of features and scores, dates and audiences, joined by and, or, and not.

**Missing values.** A rule is true, false or unknown for a customer (Kleene's three values, as in SQL). A
comparison with a missing value is unknown. ``not`` of unknown is unknown; ``and`` is false if a part is
false; ``or`` is true if a part is true; otherwise an unknown part makes them unknown. A customer is inside
only if the rule is true, so nobody is inside because of something that is not known, also under ``not``.
``is known`` is never unknown.

:mod:`decisions.rules.text` reads and writes a tree as one line, :mod:`decisions.rules.evaluation` evaluates
it for a customer, :mod:`decisions.rules.expression` compiles it to Ibis for all customers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

Scalar: TypeAlias = str | int | float | bool
Operator: TypeAlias = Literal["in", "<", "<=", ">", ">="]


@dataclass(frozen=True)
class Term:
    """A value of a customer: a feature (traits and segments are features) or the score of a model.

    Attributes:
        name: of the feature or the model.
        dtype: ``int64``, ``float64``, ``string`` or ``boolean``.
        is_score: whether it is the score of a model.
    """

    name: str
    dtype: str
    is_score: bool = False


@dataclass(frozen=True)
class TermComparison:
    """A term compared with values: with one or more for ``in``, which is equality, else with one number."""

    term: Term
    operator: Operator
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Known:
    """Whether a term has a value."""

    term: Term


@dataclass(frozen=True)
class DateWithin:
    """Whether a date is today or within the next days.

    Attributes:
        date: a date of the customer or a festival; see :mod:`decisions.rules.dates`.
        days: 0 is today only.
        term: the feature from which the customer's date follows; None for a festival.
    """

    date: str
    days: int
    term: Term | None = None


@dataclass(frozen=True)
class InAudience:
    """Whether the customer is in an audience of the catalogue; ``rule`` is that of the audience."""

    name: str
    rule: Rule | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class All:
    """All of the rules; true without any."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one of the rules."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Not:
    """The opposite of a rule."""

    rule: Rule


Rule: TypeAlias = TermComparison | Known | DateWithin | InAudience | All | AnyOf | Not
EVERYBODY = All(())


def all_of(rules: Iterable[Rule]) -> Rule:
    """The conjunction, without conjunctions directly inside; a single rule is itself."""
    flat = tuple(part for rule in rules for part in (rule.rules if isinstance(rule, All) else (rule,)))
    return flat[0] if len(flat) == 1 else All(flat)


def any_of(rules: Iterable[Rule]) -> Rule:
    """The disjunction, without disjunctions directly inside; a single rule is itself."""
    flat = tuple(part for rule in rules for part in (rule.rules if isinstance(rule, AnyOf) else (rule,)))
    return flat[0] if len(flat) == 1 else AnyOf(flat)


def negation(rule: Rule) -> Rule:
    """The opposite, without double negation."""
    return rule.rule if isinstance(rule, Not) else Not(rule)


def group_of(kind: str, rules: Iterable[Rule]) -> Rule:
    """The rules joined by ``all``, ``any`` or ``none`` (not any)."""
    return all_of(rules) if kind == "all" else any_of(rules) if kind == "any" else negation(any_of(rules))


def walk(rule: Rule) -> Iterator[Rule]:
    """The rule and all rules inside, also those of resolved audiences."""
    yield rule
    match rule:
        case All(rules) | AnyOf(rules):
            for part in rules:
                yield from walk(part)
        case Not(part):
            yield from walk(part)
        case InAudience(rule=part) if part is not None:
            yield from walk(part)


def terms(rule: Rule) -> tuple[Term, ...]:
    """The terms that a rule reads, without duplicates."""
    read = [part.term for part in walk(rule) if isinstance(part, TermComparison | Known | DateWithin)]
    return tuple(dict.fromkeys(term for term in read if term is not None))


def audiences(rule: Rule) -> tuple[str, ...]:
    """The audiences that a rule names itself, without duplicates."""
    return tuple(dict.fromkeys(part.name for part in walk(rule) if isinstance(part, InAudience)))


def with_audiences(rule: Rule, rule_of: Callable[[str], Rule]) -> Rule:
    """The rule with the rule of each audience that it names."""
    match rule:
        case All(rules):
            return All(tuple(with_audiences(part, rule_of) for part in rules))
        case AnyOf(rules):
            return AnyOf(tuple(with_audiences(part, rule_of) for part in rules))
        case Not(part):
            return Not(with_audiences(part, rule_of))
        case InAudience(name):
            return replace(rule, rule=rule_of(name))
        case _:
            return rule
