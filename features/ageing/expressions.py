"""Visits the expression of a group: from the event tables to its features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import floor
from typing import Any

import ibis.expr.operations as ops

from events.schema import SCHEMAS
from features.ageing.columns import (
    FIXED,
    UNKNOWN,
    AgeingColumn,
    ColumnKind,
    all_fixed,
    arithmetic,
    cast,
    chosen,
    columns_of,
)
from features.group import KEYS

_SOURCES = {name: name for name in SCHEMAS} | {"opinions": "activities"}
"""The event table from which each table is made."""
_MOMENTS = ("timestamp", "received_at", "replaced_at", "valid_from")
_POPULATION = {
    "customer_key": FIXED,
    "as_of": AgeingColumn(None, ColumnKind.AS_OF),
    "as_of_day": AgeingColumn(1, ColumnKind.AS_OF_DAY),
}


@dataclass(frozen=True)
class _Rows:
    """A table: its columns, and whether only events change which rows it has."""

    columns: Mapping[str, AgeingColumn]
    fixed: bool = True


@dataclass(frozen=True)
class _Link:
    """A joined table: whether only events change which of its rows match."""

    fixed: bool


_LEAVING: dict[type, tuple[int, ...]] = {
    ops.LessEqual: (0,), ops.Greater: (0,), ops.Less: (-1,), ops.GreaterEqual: (-1,),
    ops.Equals: (-1, 0), ops.NotEquals: (-1, 0),
}  # fmt: skip
"""By comparison of an age with a number: after which ages, relative to the number, its result changes."""
_MIRRORED: dict[type, type] = {
    ops.LessEqual: ops.GreaterEqual, ops.GreaterEqual: ops.LessEqual,
    ops.Less: ops.Greater, ops.Greater: ops.Less,
}  # fmt: skip
_SELECTIONS = (
    ops.Min,
    ops.Max,
    ops.ArgMin,
    ops.ArgMax,
    ops.First,
    ops.Last,
    ops.Arbitrary,
    ops.Lag,
    ops.Lead,
)
"""Operations that return one of the values of their first argument."""


@dataclass
class AgeingVisitor:
    """Visits an expression from the event tables to the features, and collects the windows."""

    windows: dict[str, set[int]] = field(default_factory=dict)

    def visit(self, node: Any, _results: Any, **children: Any) -> Any:
        """The columns of a table, or the column of a value."""
        if isinstance(node, ops.Relation):
            return _rows_of(node, children)
        if isinstance(node, ops.JoinLink):
            return _link_of(node, children)
        if isinstance(node, ops.Field):
            rows = children["rel"]
            return rows.columns[node.name] if rows.fixed else UNKNOWN
        if isinstance(node, ops.Literal):
            return AgeingColumn(0, ColumnKind.LITERAL, literal=node.value)
        if isinstance(node, (ops.CountStar, ops.CountDistinctStar)):
            return FIXED if children["arg"].fixed and all_fixed([children["where"] or FIXED]) else UNKNOWN
        if any(isinstance(child, _Rows) for child in children.values()):
            return UNKNOWN
        return self._value(node, children)

    def _value(self, node: Any, children: Mapping[str, Any]) -> AgeingColumn:
        columns = list(columns_of(children.values()))
        if isinstance(node, ops.SortKey):
            return columns[0]
        if isinstance(node, (*_SELECTIONS, ops.WindowFunction)):
            known = all(column.rate is not None or column.kind is ColumnKind.AS_OF for column in columns)
            return columns[0] if known else UNKNOWN
        if isinstance(node, (ops.IsNull, ops.NotNull, ops.Count)):
            return FIXED if columns[0].rate is not None and all_fixed(columns[1:]) else UNKNOWN
        if isinstance(node, ops.Cast):
            return cast(columns[0], node.to)
        if isinstance(node, (ops.Add, ops.Subtract, ops.Negate)):
            return arithmetic(node, columns)
        if isinstance(node, ops.Between):
            return self._between(*columns)
        if isinstance(node, ops.Comparison):
            return self._compared(type(node), *columns)
        if isinstance(node, (ops.Coalesce, ops.Greatest, ops.Least)):
            return chosen(columns)
        if isinstance(node, ops.IfElse):
            return chosen(columns[1:]) if all_fixed(columns[:1]) else UNKNOWN
        if isinstance(node, ops.SearchedCase):
            results = [*columns_of([children["results"], children["default"]])]
            return chosen(results) if all_fixed(columns_of([children["cases"]])) else UNKNOWN
        if isinstance(node, (ops.Constant, ops.Impure)):  # also the present moment
            return UNKNOWN
        return FIXED if all_fixed(columns) else UNKNOWN

    def _compared(self, comparison: type, left: AgeingColumn, right: AgeingColumn) -> AgeingColumn:
        if ColumnKind.AS_OF in (left.kind, right.kind):
            # Customers of whom an event becomes visible, or is replaced, are computed anew.
            kinds = {left.kind, right.kind}
            return FIXED if kinds <= {ColumnKind.AS_OF, ColumnKind.MOMENT} else UNKNOWN
        if left.rate is not None and left.rate == right.rate:
            return FIXED
        if right.kind is ColumnKind.AGE:
            left, right, comparison = right, left, _MIRRORED.get(comparison, comparison)
        if left.kind is ColumnKind.AGE and isinstance(right.literal, int | float) and comparison in _LEAVING:
            for age in _LEAVING[comparison]:
                self._note(left, right.literal, age)
            return FIXED
        return UNKNOWN

    def _between(self, value: AgeingColumn, lower: AgeingColumn, upper: AgeingColumn) -> AgeingColumn:
        both = (
            self._compared(ops.GreaterEqual, value, lower),
            self._compared(ops.LessEqual, value, upper),
        )
        return FIXED if all_fixed(both) else UNKNOWN

    def _note(self, age: AgeingColumn, bound: float, offset: int) -> None:
        last = floor(bound) + (offset if bound == floor(bound) else 0)
        for table in age.tables:
            self.windows.setdefault(_SOURCES[table], set()).add(last)


def _rows_of(node: Any, children: Mapping[str, Any]) -> _Rows:
    unknown = _Rows(dict.fromkeys(node.schema.names, UNKNOWN), fixed=False)
    match node:
        case ops.UnboundTable():
            return _table_of(node)
        case ops.Project():
            return _Rows(children["values"], children["parent"].fixed)
        case ops.Aggregate():
            return _Rows({**children["groups"], **children["metrics"]}, children["parent"].fixed)
        case ops.Filter():
            parent: _Rows = children["parent"]
            return replace(parent, fixed=parent.fixed and all_fixed(columns_of([children["predicates"]])))
        case ops.JoinChain():
            links = all(link.fixed for link in children["rest"])
            return _Rows(children["values"], children["first"].fixed and links)
        case ops.JoinReference() | ops.Distinct() | ops.SelfReference():
            same: _Rows = children["parent"]
            return same
        case ops.DropColumns():
            remaining = {name: children["parent"].columns[name] for name in node.schema.names}
            return _Rows(remaining, children["parent"].fixed)
        case ops.Union():
            left, right = children["left"], children["right"]
            columns = {name: chosen([left.columns[name], right.columns[name]]) for name in left.columns}
            return _Rows(columns, left.fixed and right.fixed)
        case _:
            return unknown


def _table_of(node: ops.UnboundTable) -> _Rows:
    if node.name == "population":
        return _Rows(_POPULATION)
    if node.name == "facts":
        names = node.schema.names
        return _Rows({name: _POPULATION.get(name, UNKNOWN) for name in names})
    tables = frozenset({node.name}) & _SOURCES.keys()
    kinds = {"day": ColumnKind.DAY} | dict.fromkeys(_MOMENTS, ColumnKind.MOMENT)
    return _Rows(
        {name: AgeingColumn(0, kinds.get(name, ColumnKind.VALUE), tables) for name in node.schema.names}
    )


def _link_of(node: Any, children: Mapping[str, Any]) -> _Link:
    if children["table"].fixed:
        return _Link(all_fixed(columns_of([children["predicates"]])))
    aggregate = node.table.parent
    one_row = isinstance(aggregate, ops.Aggregate) and set(aggregate.groups) == set(KEYS)
    # Whatever the one row contains, a left join has all rows of the other table once.
    return _Link(node.how == "left" and one_row)
