"""Ibis' compiler for ClickHouse, changed where its values differ from DuckDB's.

- Distinct values are counted exactly, and the length and the case of a text are those of its characters.
- A number that becomes an integer or a decimal is rounded; ClickHouse cuts decimals off.
- Equal values have the same rank.
- Decimals divide as floating-point numbers, and their product has all of its decimals.
- SQL of a home's own features is DuckDB's, and is translated.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.clickhouse import ClickHouseCompiler


class _ClickHouseWarehouseCompiler(ClickHouseCompiler):  # type: ignore[misc]  # Ibis has no types
    SIMPLE_OPS = ClickHouseCompiler.SIMPLE_OPS | {
        ops.CountDistinct: "uniqExact",
        ops.ExtractEpochSeconds: "toUnixTimestamp",
        ops.Lowercase: "lowerUTF8",
        ops.StringLength: "lengthUTF8",
        ops.Uppercase: "upperUTF8",
    }

    @staticmethod
    def _minimize_spec(op: ops.WindowFunction, spec: Any) -> Any:
        """No frame for a rank, whose ties ClickHouse would tell apart in a frame of rows."""
        if isinstance(op.func, ops.RankBase):
            return None
        return ClickHouseCompiler._minimize_spec(op, spec)

    def visit_Divide(self, _op: ops.Divide, *, left: Any, right: Any) -> Any:  # noqa: N802
        return self.f.divide(self.cast(left, dt.float64), self.cast(right, dt.float64))

    def visit_FloorDivide(self, op: ops.FloorDivide, *, left: Any, right: Any) -> Any:  # noqa: N802
        return self._integer(self.f.floor(self.f.divide(left, right)), op.dtype)

    def visit_Multiply(self, op: ops.Multiply, *, left: Any, right: Any) -> Any:  # noqa: N802
        if op.left.dtype.is_decimal() and op.right.dtype.is_decimal():
            left = self.cast(left, dt.Decimal(38, op.left.dtype.scale))
        return super().visit_Multiply(op, left=left, right=right)

    def visit_Round(self, op: ops.Round, *, arg: Any, digits: Any) -> Any:  # noqa: N802
        if digits is not None and digits.sql() != "0":
            return super().visit_Round(op, arg=arg, digits=digits)
        return self._integer(self._half_away(arg), op.dtype)

    def visit_Cast(self, op: ops.Cast, *, arg: Any, to: Any) -> Any:  # noqa: N802
        given = op.arg.dtype
        if given.is_floating() and to.is_integer():
            return self._integer(self.f.roundBankers(arg), to)
        if given.is_decimal() and to.is_integer():
            arg = self._half_away(arg)
        if given.is_floating() and to.is_decimal():
            half = sge.convert(0.5 * 10**-to.scale)
            arg = arg + self.if_(arg < 0, -half, half)
        if given.is_decimal() and to.is_string():
            return self.f.toDecimalString(arg, sge.convert(given.scale))
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_TryCast(self, op: ops.TryCast, *, arg: Any, to: Any) -> Any:  # noqa: N802
        value = super().visit_TryCast(op, arg=arg, to=to)
        if not to.is_date():
            return value
        return self.if_(self.f.toString(value).eq(arg), value, sge.Null())  # February 30 becomes March 1

    def visit_RegexExtract(  # noqa: N802
        self, op: ops.RegexExtract, *, arg: Any, pattern: Any, index: Any
    ) -> Any:
        return super().visit_RegexExtract(op, arg=self.f.ifNull(arg, ""), pattern=pattern, index=index)

    def visit_Substring(self, _op: ops.Substring, *, arg: Any, start: Any, length: Any) -> Any:  # noqa: N802
        return self.f.anon.substringUTF8(arg, start + 1, *([] if length is None else [length]))

    def visit_NonNullLiteral(self, op: ops.Literal, *, value: Any, dtype: Any) -> Any:  # noqa: N802
        if dtype.is_interval() and dtype.unit.short == "us":
            return self.f.toIntervalMicrosecond(sge.convert(value))
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_SQLStringView(self, _op: ops.SQLStringView, *, query: str, **_: Any) -> Any:  # noqa: N802
        return sg.parse_one(query, read="duckdb")  # in which a home's own features are written

    def _integer(self, whole: Any, to: Any) -> Any:
        """A whole floating-point number as an integer; a CAST would fail at what is behind a null."""
        return self.f.accurateCastOrNull(whole, self.type_mapper.to_string(to.copy(nullable=False)))

    def _half_away(self, number: Any) -> Any:
        """The nearest whole number; halves away from zero, where ClickHouse rounds to even ones."""
        return self.if_(number < 0, -self.f.floor(0.5 - number), self.f.floor(number + 0.5))


COMPILER = _ClickHouseWarehouseCompiler()
"""Compiles Ibis expressions for a session of ClickHouse."""
