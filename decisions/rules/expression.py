"""Compiles a rule to an Ibis expression over a table of all customers.

The expression is true, false or null (unknown) exactly where :func:`decisions.rules.evaluation.evaluate` is
True, False or None; a property test compares the two on DuckDB.
"""

from __future__ import annotations

import math
from functools import reduce

import ibis
import ibis.expr.types as ir

from decisions.rules.dates import (
    ANNIVERSARY,
    MAX_DAY,
    MIN_DAY,
    RENEWAL,
    festival_within,
    month_days,
)
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
from features.groups.segment_rules import FORMER_NAMES

_MAX_INT64 = 2**63 - 1


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def nfc_normalize(text: str) -> str:
    """The text in Unicode's form NFC. DuckDB computes it: Ibis reads the signature only."""
    raise NotImplementedError


def expression(rule: Rule, table: ir.Table, today: int, facts_day: int) -> ir.BooleanValue:
    """The rule over the customers of a table.

    Args:
        table: a column per term that the rule reads, with the name of the feature or model.
        today: the shop's day for which dates are evaluated.
        facts_day: the shop's day as of which the features count days.
    """

    def compile_(part: Rule) -> ir.BooleanValue:
        match part:
            case All(parts):
                return reduce(lambda a, b: a & b, map(compile_, parts), ibis.literal(True))
            case AnyOf(parts):
                return reduce(lambda a, b: a | b, map(compile_, parts), ibis.literal(False))
            case Not(inside):
                return ~compile_(inside)
            case InAudience(rule=inside):
                assert inside is not None, "the audiences of a rule are resolved when the catalogue is loaded"
                return compile_(inside)
            case Known(term):
                return _column(table, term).notnull()
            case DateWithin():
                return _within(part, table, today, facts_day)
            case TermComparison():
                return _comparison(part, _column(table, part.term))
        raise AssertionError(part)

    return compile_(rule)


def _column(table: ir.Table, term: Term) -> ir.Value:
    """A term's column; null where the value is missing, NaN included."""
    column: ir.Value = table[term.name]
    if isinstance(column, ir.FloatingColumn):
        return ibis.ifelse(column.isnan(), ibis.null("float64"), column)
    return nfc_normalize(column) if isinstance(column, ir.StringColumn) else column


def _comparison(rule: TermComparison, column: ir.Value) -> ir.BooleanValue:
    sign, values = rule.operator, rule.values
    if rule.term.dtype == "boolean":
        return column == ibis.literal(True)
    if rule.term.dtype == "string":
        texts = [str(value) for value in values]
        former = FORMER_NAMES.get(rule.term.name, {})
        names = [name for name in texts if name not in former]  # a former name means its present name
        return column.isin([*names, *(old for old, name in former.items() if name in texts)])
    if isinstance(column, ir.IntegerValue):
        return _integer_comparison(rule, column)
    numbers = [_float(value) for value in values]
    if sign == "in":
        return reduce(lambda a, b: a | b, [column == number for number in numbers])
    return _compare(column, sign, numbers[0])


def _integer_comparison(rule: TermComparison, column: ir.IntegerValue) -> ir.BooleanValue:
    """The comparison in whole numbers, which is exact beyond 2⁵³."""
    if rule.operator == "in":
        whole = [int(value) for value in rule.values if not isinstance(value, float)]
        return column.isin(whole) if whole else column != column
    bound = rule.values[0]
    assert not isinstance(bound, str)
    number = math.floor(bound) if rule.operator in ("<=", ">") else math.ceil(bound)
    return _compare(column, rule.operator, ibis.literal(max(-_MAX_INT64, min(_MAX_INT64, number)), "int64"))


def _compare(column: ir.Value, sign: str, bound: ir.Value) -> ir.BooleanValue:
    compared: ir.BooleanValue = {
        "<": column < bound, "<=": column <= bound, ">": column > bound, ">=": column >= bound,
    }[sign]  # fmt: skip
    return compared


def _float(value: Scalar) -> ir.Value:
    """A number; as a text, since DuckDB rounds decimals with many digits when it converts them."""
    return ibis.literal(repr(float(value))).cast("float64")


def _within(rule: DateWithin, table: ir.Table, today: int, facts_day: int) -> ir.BooleanValue:
    if rule.term is None:
        return ibis.literal(festival_within(rule.date, today, rule.days))
    value = _column(table, rule.term)
    if rule.date == RENEWAL:
        return value.between(today - facts_day, rule.days + today - facts_day)
    possible = value.between(facts_day - MAX_DAY, facts_day - MIN_DAY)
    days = ibis.ifelse(possible, facts_day - value, ibis.null("int64"))
    date = ibis.date("1970-01-01") + days.cast("int32").as_interval("D")
    within = (date.month() * 100 + date.day()).isin(sorted(month_days(today, rule.days)))
    return ibis.ifelse(value < 1, False, within) if rule.date == ANNIVERSARY else within
