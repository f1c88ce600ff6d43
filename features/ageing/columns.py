"""Columns and what becomes of their rates in operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

import ibis.expr.operations as ops


class ColumnKind(Enum):
    """What a column is, where more than its rate matters."""

    VALUE = auto()
    LITERAL = auto()
    DAY = auto()  # of an event
    MOMENT = auto()  # at which an event happened, arrived or was replaced
    AGE = auto()  # of an event, in days
    AS_OF = auto()
    AS_OF_DAY = auto()


@dataclass(frozen=True)
class AgeingColumn:
    """A column or value.

    Attributes:
        rate: the change per day; None if it is unknown.
        tables: the event tables of whose events it is the day, moment or age.
        literal: the value of a literal.
    """

    rate: int | None = 0
    kind: ColumnKind = ColumnKind.VALUE
    tables: frozenset[str] = frozenset()
    literal: Any = None

    @property
    def is_null(self) -> bool:
        """Whether it is the literal null."""
        return self.kind is ColumnKind.LITERAL and self.literal is None


FIXED, UNKNOWN = AgeingColumn(), AgeingColumn(None)


def all_fixed(columns: Iterable[AgeingColumn]) -> bool:
    """Whether only events change these values."""
    return all(column.rate == 0 for column in columns)


def columns_of(children: Iterable[Any]) -> Iterator[AgeingColumn]:
    """The columns among the arguments of an operation, also in tuples and mappings."""
    for child in children:
        if isinstance(child, AgeingColumn):
            yield child
        elif isinstance(child, Mapping):
            yield from columns_of(child.values())
        elif isinstance(child, (tuple, list)):
            yield from columns_of(child)


def cast(column: AgeingColumn, to: Any) -> AgeingColumn:
    """A column with another type; only a number of days remains one."""
    if column.rate == 0 and column.kind is not ColumnKind.MOMENT:
        return column if to.is_numeric() else replace(column, kind=ColumnKind.VALUE)
    same = to.is_timestamp() if column.kind in (ColumnKind.AS_OF, ColumnKind.MOMENT) else to.is_numeric()
    return column if same else (FIXED if column.rate == 0 else UNKNOWN)


def arithmetic(node: Any, columns: list[AgeingColumn]) -> AgeingColumn:
    """A sum, a difference or a negative value; rates add up."""
    rates = [column.rate for column in columns if column.rate is not None]
    if len(rates) < len(columns):
        return UNKNOWN
    if isinstance(node, ops.Subtract) and [c.kind for c in columns] == [ColumnKind.AS_OF_DAY, ColumnKind.DAY]:
        return AgeingColumn(1, ColumnKind.AGE, columns[1].tables)
    if isinstance(node, ops.Negate):
        return AgeingColumn(-rates[0])
    return AgeingColumn(rates[0] + rates[1] if isinstance(node, ops.Add) else rates[0] - rates[1])


def chosen(columns: Iterable[AgeingColumn]) -> AgeingColumn:
    """One of several columns."""
    columns = [column for column in columns if not column.is_null]
    if len({column.rate for column in columns}) != 1:
        return FIXED if not columns else UNKNOWN
    kinds = {column.kind for column in columns}
    if len(kinds) > 1 or ColumnKind.LITERAL in kinds:
        return AgeingColumn(columns[0].rate)
    return replace(columns[0], tables=frozenset().union(*(column.tables for column in columns)))
