"""Whether the columns of a company's queries have the names and types that the event tables need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import PatronError
from events.schema import MONEY
from events.warehouse.local_time import MOMENT
from events.warehouse.mapping import TABLES, SourceColumn


@dataclass(frozen=True)
class TypeNames:
    """A warehouse's names of types, the first of which is the one to select.

    Attributes:
        moments: with a time zone. without_zone: moments without one.
        decimals: exact numbers with decimals; integers are exact too.
        in_utc: an expression that reads the column ``{}`` as a moment in UTC.
        exact: an expression that makes an exact amount of the column ``{}``.
        quote: the mark around a name.
    """

    moments: tuple[str, ...]
    without_zone: tuple[str, ...]
    integers: tuple[str, ...]
    decimals: tuple[str, ...]
    floats: tuple[str, ...]
    booleans: tuple[str, ...]
    in_utc: str
    exact: str
    quote: str = '"'

    def suited(self, dtype: str) -> tuple[str, ...] | None:
        """The types that suit a column; None if all do."""
        by_dtype = {
            MOMENT: self.moments,
            MONEY: (*self.decimals, *self.integers),
            "int64": self.integers,
            "boolean": self.booleans,
        }
        return by_dtype.get(dtype)


_NAMES = {
    "postgres": TypeNames(
        moments=("timestamptz",),
        without_zone=("timestamp",),
        integers=("int2", "int4", "int8"),
        decimals=("numeric",),
        floats=("float4", "float8"),
        booleans=("bool",),
        in_utc="{} AT TIME ZONE 'UTC'",
        exact="CAST({} AS numeric(18, 4))",
    ),
    "clickhouse": TypeNames(
        moments=("DateTime64", "DateTime"),
        without_zone=(),  # its moments are those of UTC, in whatever zone it shows them
        integers=("Int64", "Int32", "Int16", "Int8", "UInt32", "UInt16", "UInt8"),
        decimals=("Decimal",),
        floats=("Float64", "Float32", "BFloat16"),
        booleans=("Bool", "UInt8"),
        in_utc="{}",
        exact="toDecimal64({}, 4)",
    ),
    "snowflake": TypeNames(
        moments=("TIMESTAMP_TZ", "TIMESTAMP_LTZ"),
        without_zone=("TIMESTAMP_NTZ",),
        integers=("INTEGER",),
        decimals=("NUMBER",),
        floats=("FLOAT",),
        booleans=("BOOLEAN",),
        in_utc="CAST({} AS TIMESTAMP_TZ)",  # by the time zone of the session
        exact="CAST({} AS NUMBER(18, 4))",
    ),
    "bigquery": TypeNames(
        moments=("TIMESTAMP",),
        without_zone=("DATETIME",),
        integers=("INT64",),
        decimals=("NUMERIC", "BIGNUMERIC"),
        floats=("FLOAT64",),
        booleans=("BOOL",),
        in_utc="TIMESTAMP({}, 'UTC')",
        exact="ROUND(CAST({} AS NUMERIC), 4)",
        quote="`",
    ),
}
"""By Ibis' name of the warehouse."""


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


def column_problems(table: str, present: Mapping[str, str], engine: str) -> list[MappingProblem]:
    """The columns that are missing or have a type that loses something.

    Args:
        present: the columns of the query, with the warehouse's names of their types.
        engine: Ibis' name of the warehouse.
    """
    problems, names = [], _NAMES[engine]
    for name, column in TABLES[table].items():
        if name not in present:
            if column.default is None:
                problems.append(MappingProblem.of(table, name, _missing(table, column)))
        elif wrong := _wrong_type(name, column, present[name], names):
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


def _wrong_type(name: str, column: SourceColumn, present: str, names: TypeNames) -> str | None:
    """What is wrong with a type, and what to do; None if it suffices."""
    quoted, suited = f"{names.quote}{name}{names.quote}", names.suited(column.dtype)
    if column.dtype == MOMENT and present in names.without_zone:
        return (
            f"has no time zone; if it is in UTC, select {names.in_utc.format(quoted)} AS {quoted}, else name"
            " its zone"
        )
    if column.dtype == MONEY and present in names.floats:
        return (
            f"is a floating-point number ({present}), which is not exact; select"
            f" {names.exact.format(quoted)} AS {quoted}"
        )
    if name == "customer_id" and present in (*names.floats, *names.decimals):
        return f"is a {present}, of which one id has several texts; select it as text or as an integer"
    if suited is not None and present not in suited:
        return f"has the type {present}; select it as {suited[0]}"
    return None
