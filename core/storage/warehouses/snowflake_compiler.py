"""Ibis' compiler for Snowflake, changed where its values differ from DuckDB's.

- Integers divide as floating-point numbers, and so does their mean; Snowflake keeps six decimals.
- A text that cannot be converted is null, and JSON is parsed; Ibis converts texts otherwise.
- The least struct is the one whose fields come first in order.
- A pattern is one group with what may be around it, and has no groups that do not capture.
- SQL of a home's own features is DuckDB's, and is translated.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.snowflake import SnowflakeCompiler

from core.storage.warehouses import rounding
from core.storage.warehouses.first_struct import FirstStruct

_VERTICAL_TAB = 11  # of which Snowflake's literals have no escape
_BLANKS = " \t\n\r\f"


class _SnowflakeWarehouseCompiler(FirstStruct, SnowflakeCompiler):  # type: ignore[misc]  # Ibis has no types
    def visit_Greatest(self, _op: ops.Greatest, *, arg: Any) -> Any:  # noqa: N802
        return self.f.anon.greatest_ignore_nulls(*arg)

    def visit_Least(self, _op: ops.Least, *, arg: Any) -> Any:  # noqa: N802
        return self.f.anon.least_ignore_nulls(*arg)

    def visit_Divide(self, _op: ops.Divide, *, left: Any, right: Any) -> Any:  # noqa: N802
        return self._quotient(left, right)

    def visit_FloorDivide(self, op: ops.FloorDivide, *, left: Any, right: Any) -> Any:  # noqa: N802
        return self.cast(self.f.floor(self._quotient(left, right)), op.dtype)

    def visit_Mean(self, op: ops.Mean, *, arg: Any, where: Any) -> Any:  # noqa: N802
        if op.arg.dtype.is_boolean():
            arg = self.cast(arg, dt.int32)
        return self.agg.avg(self.cast(arg, dt.float64), where=where)

    def visit_Cast(self, op: ops.Cast, *, arg: Any, to: Any) -> Any:  # noqa: N802
        given = op.arg.dtype
        if given.is_string() and to.is_json():
            return self.f.parse_json(arg)
        if given.is_boolean() and to.is_floating():
            arg = self.cast(arg, dt.int32)
        if given.is_floating() and to.is_integer():
            return self.cast(rounding.half_even(arg), to)
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_TryCast(self, op: ops.TryCast, *, arg: Any, to: Any) -> Any:  # noqa: N802
        if to.is_json():
            return self.f.anon.try_parse_json(arg)
        if not op.arg.dtype.is_string():
            return super().visit_TryCast(op, arg=arg, to=to)
        if to.is_date():
            return self.f.anon.try_to_date(arg, "YYYY-MM-DD")
        if to.is_floating():
            return self.f.anon.try_to_double(arg)
        if to.is_integer():
            return self.cast(self.f.anon.try_to_number(arg, 18, 0), to)
        return self.f.anon.try_to_number(arg, to.precision, to.scale)

    def visit_Strip(self, _op: ops.Strip, *, arg: Any) -> Any:  # noqa: N802
        tab = sge.Chr(expressions=[sge.convert(_VERTICAL_TAB)])
        return sge.Trim(this=arg, expression=sge.Concat(expressions=[sge.convert(_BLANKS), tab]))

    def visit_RegexSearch(self, op: ops.RegexSearch, *, arg: Any, **_: Any) -> Any:  # noqa: N802
        around = sge.convert(f".*({_capturing(op.pattern.value)}).*")
        return sge.RegexpLike(this=arg, expression=around, flag=sge.convert("cs"))

    def visit_RegexExtract(self, op: ops.RegexExtract, *, arg: Any, index: Any, **_: Any) -> Any:  # noqa: N802
        pattern = sge.convert(_capturing(op.pattern.value))
        return super().visit_RegexExtract(op, arg=arg, pattern=pattern, index=index)

    def visit_TimestampSub(self, op: ops.TimestampSub, *, left: Any, right: Any) -> Any:  # noqa: N802
        return self.f.timestampadd(right.unit, sge.convert(-int(op.right.value)), left)

    visit_DateSub = visit_TimestampSub  # noqa: N815

    def visit_StructField(self, op: ops.StructField, *, arg: Any, field: str) -> Any:  # noqa: N802
        return self.cast(self.f.anon.get_path(arg, sge.convert(field)), op.dtype)

    def visit_SQLStringView(self, _op: ops.SQLStringView, *, query: str, **_: Any) -> Any:  # noqa: N802
        parsed = sg.parse_one(query, read="duckdb")  # in which a home's own features are written
        return parsed.transform(_as_in_duckdb)

    def _quotient(self, left: Any, right: Any) -> Any:
        return sge.paren(self.cast(left, dt.float64) / sge.paren(right, copy=False), copy=False)

    def _first(self, struct: Any, where: Any, *, desc: bool) -> Any:
        """The struct whose fields come first in order."""
        fields = struct.expressions[1::2]
        order = [sge.Ordered(this=field, desc=desc, nulls_first=False) for field in fields]
        chosen = struct if where is None else self.if_(where, struct, sge.Null())
        ordered = sge.WithinGroup(this=self.f.array_agg(chosen), expression=sge.Order(expressions=order))
        return self.f.get(ordered, 0)


def _capturing(pattern: str) -> str:
    """A pattern whose groups all capture; the first one stays the first, if none before it does not."""
    return pattern.replace("(?:", "(")


def _as_in_duckdb(node: Any) -> Any:
    """A part of DuckDB's SQL with its own division and search for a pattern."""
    if isinstance(node, sge.Div):
        return sge.Div(this=sge.cast(node.this, "double"), expression=node.expression)
    if isinstance(node, sge.RegexpLike) and node.expression.is_string:
        around = sge.convert(f".*({_capturing(node.expression.name)}).*")
        return sge.RegexpLike(this=node.this, expression=around, flag=sge.convert("cs"))
    return node


COMPILER = _SnowflakeWarehouseCompiler()
"""Compiles Ibis expressions for a session of Snowflake."""
