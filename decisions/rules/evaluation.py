"""Evaluates a rule for one customer, with the reason why the customer is outside."""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decisions.context import ScoreInput
from decisions.names.refusals import NO_ANSWER
from decisions.reasons import DecisionReason, reason
from decisions.rules.dates import ANNIVERSARY, RENEWAL, festival_within, month_day, month_days
from decisions.rules.tree import (
    All,
    AnyOf,
    DateWithin,
    InAudience,
    Known,
    Not,
    Rule,
    Scalar,
    Term,
    TermComparison,
)
from decisions.rules.writing import text_of
from features.groups.segment_rules import current_name

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_MISMATCHES = {"<": "not_below", "<=": "above", ">": "not_above", ">=": "below"}
_OPPOSITE = {"<": "below", "<=": "not_above", ">": "above", ">=": "not_below"}
"""By operator, the reason of a customer for whom the comparison must not hold, and does."""

UNANSWERED = {"en": "the model does not answer", "zh": NO_ANSWER}


@dataclass(frozen=True)
class RuleInput:
    """What rules read of a customer.

    Attributes:
        facts: features by name; None or NaN where missing.
        scores: by model.
        today: the shop's day (days since 1970-01-01) for which dates are evaluated.
        facts_day: the shop's day as of which the features count days.
    """

    facts: Mapping[str, Any]
    scores: Mapping[str, ScoreInput]
    today: int
    facts_day: int

    def value(self, term: Term) -> Scalar | None:
        """A term's value; None if it is missing."""
        if term.is_score:
            score = self.scores.get(term.name)
            value: Any = None if score is None else score.score
        else:
            value = self.facts.get(term.name)
        if value is None or value != value:
            return None
        if isinstance(value, str):
            return current_name(term.name, unicodedata.normalize("NFC", value))
        return value  # type: ignore[no-any-return]


def evaluate(rule: Rule, customer: RuleInput) -> bool | None:
    """Whether the rule is true for the customer; None if that is unknown (:mod:`decisions.rules.tree`)."""
    match rule:
        case All(parts):
            values = [evaluate(part, customer) for part in parts]
            return False if False in values else None if None in values else True
        case AnyOf(parts):
            values = [evaluate(part, customer) for part in parts]
            return True if True in values else None if None in values else False
        case Not(part):
            truth = evaluate(part, customer)
            return None if truth is None else not truth
        case Known(term):
            return customer.value(term) is not None
        case InAudience(rule=part):
            assert part is not None, "the audiences of a rule are resolved when the catalogue is loaded"
            return evaluate(part, customer)
        case DateWithin():
            return _is_within(rule, customer)
        case TermComparison(term, sign, values):
            value = customer.value(term)
            if value is None:
                return None
            return value in values if sign == "in" else _OPERATORS[sign](value, values[0])
    raise AssertionError(rule)


def mismatch(rule: Rule, customer: RuleInput) -> DecisionReason | None:
    """Why the customer is outside of a rule; None for a customer inside."""
    return None if evaluate(rule, customer) else _mismatch(rule, customer)


def _mismatch(rule: Rule, customer: RuleInput) -> DecisionReason:
    """The reason of a rule that is not true: the first part that is false, else the first unknown one."""
    match rule:
        case All(parts):
            return _mismatch(_first(parts, customer, False), customer)
        case AnyOf(parts):
            return _alternatives([_mismatch(part, customer) for part in parts])
        case Not(part):
            return _reason_against(part, customer)
        case InAudience(name, part):
            assert part is not None
            return reason("outside_audience", audience=name, why=_plain(_mismatch(part, customer)))
        case Known(term):
            return _missing(term, customer)
        case DateWithin(date, days, term):
            if term is not None and customer.value(term) is None:
                return _missing(term, customer)
            return reason("not_within", date=date, days=days)
        case TermComparison(term, sign, values):
            value = customer.value(term)
            if value is None:
                return _missing(term, customer)
            if sign != "in":
                return reason(_MISMATCHES[sign], feature=term.name, value=value, bound=values[0])
            if len(values) == 1:
                return reason("not_equal", feature=term.name, value=value, wanted=values[0])
            return reason("not_one_of", feature=term.name, value=value, wanted=list(values))
    raise AssertionError(rule)


def _reason_against(rule: Rule, customer: RuleInput) -> DecisionReason:
    """The reason of a customer for whom a rule must be false, and is true or unknown."""
    match rule:
        case AnyOf(parts):
            return _reason_against(_first(parts, customer, True), customer)
        case All(parts):
            unknown = [part for part in parts if evaluate(part, customer) is None]
            if unknown:
                return _reason_against(unknown[0], customer)
            return reason("excluded", rule=text_of(rule))
        case Not(part):
            return _mismatch(part, customer)
        case InAudience(name, part):
            if part is not None and evaluate(part, customer) is None:
                return _reason_against(part, customer)
            return reason("in_audience", audience=name)
        case Known(term):
            return reason("is_known", feature=term.name)
        case DateWithin(date, days, term):
            if term is not None and customer.value(term) is None:
                return _missing(term, customer)
            return reason("is_within", date=date, days=days)
        case TermComparison(term, sign, values):
            value = customer.value(term)
            if value is None:
                return _missing(term, customer)
            if sign != "in":
                return reason(_OPPOSITE[sign], feature=term.name, value=value, bound=values[0])
            if term.dtype == "boolean":
                return reason("not_equal", feature=term.name, value=value, wanted=False)
            return reason("must_not_be", feature=term.name, value=value)
    raise AssertionError(rule)


def _first(parts: Sequence[Rule], customer: RuleInput, value: bool) -> Rule:
    """The first part with this value, else the first unknown one."""
    values = [evaluate(part, customer) for part in parts]
    return parts[values.index(value) if value in values else values.index(None)]


def _alternatives(reasons: Sequence[DecisionReason]) -> DecisionReason:
    return reason("no_alternative", reasons=[_plain(part) for part in reasons])


def _plain(part: DecisionReason) -> list[Any]:
    return [part.code, dict(part.values)]


def _missing(term: Term, customer: RuleInput) -> DecisionReason:
    if not term.is_score:
        return reason("not_known", feature=term.name)
    score = customer.scores.get(term.name)
    return reason("no_score", model=term.name, reason=(score and score.reason) or UNANSWERED)


def _is_within(rule: DateWithin, customer: RuleInput) -> bool | None:
    if rule.term is None:
        return festival_within(rule.date, customer.today, rule.days)
    value = customer.value(rule.term)
    if value is None:
        return None
    assert isinstance(value, int | float)
    if rule.date == RENEWAL:
        return 0 <= value - (customer.today - customer.facts_day) <= rule.days
    if rule.date == ANNIVERSARY and value < 1:
        return False
    current = month_day(customer.facts_day - int(value))
    return None if current is None else current in month_days(customer.today, rule.days)
