"""Whether the columns of a company's queries have the names and types that the event tables need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import PatronError
from core.storage import sql
from events.schema import MONEY
from events.warehouse.mapping import MOMENT, TABLES, SourceColumn

_INTEGERS = ("int2", "int4", "int8")
_TYPES = {  # PostgreSQL's names
    MOMENT: ("timestamptz",),
    MONEY: ("numeric", *_INTEGERS),
    "int64": _INTEGERS,
    "boolean": ("bool",),
}
_FLOATS = ("float4", "float8")


@dataclass(frozen=True)
class MappingProblem:
    """What is wrong with a column of a company's query, or with its rows, and what to do.

    Attributes:
        text: a sentence that begins with the table and the column.
    """

    table: str
    column: str
    text: str

    @classmethod
    def of(cls, table: str, column: str, text: str) -> MappingProblem:
        """A problem whose sentence begins with the column."""
        return cls(table, column, f"{table}.{column} {text}")


def column_problems(table: str, present: Mapping[str, str]) -> list[MappingProblem]:
    """The columns that are missing or have a type that loses something.

    Args:
        present: the columns of the query, with the warehouse's names of their types.
    """
    problems = []
    for name, column in TABLES[table].items():
        if name not in present:
            if column.default is None:
                problems.append(MappingProblem.of(table, name, _missing(table, column)))
        elif wrong := _wrong_type(name, column, present[name].partition("(")[0]):
            problems.append(MappingProblem.of(table, name, wrong))
    return problems


def require(problems: Sequence[MappingProblem]) -> None:
    """Raise the first problem as an error.

    Raises:
        PatronError: there is one.
    """
    if problems:
        more = f" ({len(problems) - 1} more: `patron lake check` lists them)" if len(problems) > 1 else ""
        raise PatronError(problems[0].text + more)


def _missing(table: str, column: SourceColumn) -> str:
    return f"is missing, the {column.meaning}; add it to the SELECT of warehouse/{table}.sql"


def _wrong_type(name: str, column: SourceColumn, present: str) -> str | None:
    """What is wrong with a type, and what to do; None if it suffices."""
    quoted, right = sql.name(name), _TYPES.get(column.dtype)
    if column.dtype == MOMENT and present == "timestamp":
        return (
            f"has no time zone; if it is in UTC, select {quoted} AT TIME ZONE 'UTC' AS {quoted}, else name"
            " its zone"
        )
    if column.dtype == MONEY and present in _FLOATS:
        return (
            f"is a floating-point number ({present}), which is not exact; select CAST({quoted} AS"
            f" numeric(18, 4)) AS {quoted}"
        )
    if name == "customer_id" and present in (*_FLOATS, "numeric"):
        return f"is a {present}, of which one id has several texts; select it as text or as an integer"
    if right is not None and present not in right:
        return f"has the type {present}; select it as {right[0]}"
    return None
