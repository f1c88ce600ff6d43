"""Ibis' compiler for PostgreSQL, changed where its values differ from DuckDB's.

- A text that cannot be converted is null: ``try_cast`` by functions of the session.
- A struct is JSON; the least struct is the one whose fields come first in order.
- The lower case of a text is that of all languages.
- SQL of a home's own features is DuckDB's, and is translated.
"""

from __future__ import annotations

import math
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.postgres import PostgresCompiler

from core.storage.warehouses.first_struct import FirstStruct

_TRY = {  # Ibis' types to which texts are converted if they can be
    "float64": "double precision",
    "int32": "integer",
    "int64": "bigint",
    "date": "date",
    "decimal(9, 4)": "numeric(9, 4)",
    "json": "json",
}


def _try_name(dtype: str) -> str:
    return "try_" + "".join(character for character in dtype if character.isalnum())


TRY_FUNCTIONS = tuple(
    f"CREATE FUNCTION pg_temp.{_try_name(to)}(value text) RETURNS {of} LANGUAGE plpgsql IMMUTABLE STRICT AS"
    f" $$ BEGIN RETURN value::{of}; EXCEPTION WHEN data_exception THEN RETURN NULL; END $$"
    for to, of in _TRY.items()
)
"""The functions that a session needs."""


class _WarehouseCompiler(FirstStruct, PostgresCompiler):  # type: ignore[misc]  # Ibis has no types
    def visit_RegexSearch(self, _op: ops.RegexSearch, *, arg: Any, pattern: Any) -> Any:  # noqa: N802
        return sge.RegexpLike(this=arg, expression=pattern)  # the operator ~ of every version

    def visit_Lowercase(self, _op: ops.Lowercase, *, arg: Any) -> Any:  # noqa: N802
        return _collate(self.f.lower(_collate(arg, "und-x-icu")), "C")  # "C" knows the case of A to Z only

    def visit_Log2(self, _op: ops.Log2, *, arg: Any) -> Any:  # noqa: N802
        # Logarithms of decimals take most of the time of a query.
        return self.f.ln(self.cast(arg, dt.float64)) / sge.convert(math.log(2))

    def visit_TryCast(self, op: ops.TryCast, *, arg: Any, to: Any) -> Any:  # noqa: N802
        if not op.arg.dtype.is_string() or str(to) not in _TRY:
            return super().visit_TryCast(op, arg=arg, to=to)
        return self.cast(self.f.anon[f"pg_temp.{_try_name(str(to))}"](arg), to)

    def visit_Cast(self, op: ops.Cast, *, arg: Any, to: Any) -> Any:  # noqa: N802
        if op.arg.dtype.is_boolean() and to.is_numeric():
            arg = self.cast(arg, dt.int32)  # the only number that a boolean becomes
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_TimestampFromUNIX(  # noqa: N802
        self, op: ops.TimestampFromUNIX, *, arg: Any, unit: Any
    ) -> Any:
        if unit.short != "s":
            return self.visit_Undefined(op, arg=arg, unit=unit)
        return self.f.timezone("UTC", self.f.anon.to_timestamp(arg))

    def visit_SQLStringView(self, _op: ops.SQLStringView, *, query: str, **_: Any) -> Any:  # noqa: N802
        return sg.parse_one(query, read="duckdb")  # in which a home's own features are written

    def visit_StructColumn(self, _op: ops.StructColumn, *, names: Any, values: Any) -> Any:  # noqa: N802
        pairs = zip(map(sge.convert, names), values, strict=True)
        return self.f.jsonb_build_object(*(part for pair in pairs for part in pair))

    def visit_StructField(self, op: ops.StructField, *, arg: Any, field: str) -> Any:  # noqa: N802
        text = self.f.jsonb_extract_path_text(arg, sge.convert(field))
        return _collate(text, "C") if op.dtype.is_string() else self.cast(text, op.dtype)

    def _first(self, struct: Any, where: Any, *, desc: bool) -> Any:
        """The struct whose fields come first in order."""
        fields = struct.expressions[1::2]
        order = [sge.Ordered(this=field, desc=desc, nulls_first=False) for field in fields]
        ordered = self.agg.array_agg(sge.Order(this=struct, expressions=order), where=where)
        return sge.Bracket(this=sge.paren(ordered, copy=False), expressions=[sge.convert(1)], offset=1)


def _collate(text: Any, collation: str) -> Any:
    return sge.paren(sge.Collate(this=text, expression=sg.to_identifier(collation, quoted=True)), copy=False)


COMPILER = _WarehouseCompiler()
"""Compiles Ibis expressions for a session that has ``TRY_FUNCTIONS``."""
