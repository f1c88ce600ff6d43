"""Ibis' compiler for BigQuery, changed where its values differ from DuckDB's.

- A decimal has the decimals of its type; a number that becomes an integer is rounded.
- A boolean becomes a number by way of an integer.
- A text becomes JSON by parsing, and JSON a text by writing.
- The least struct is the one whose fields come first in order.
- A moment without a time zone is a DATETIME in every function.
- SQL of a home's own features is DuckDB's, and is translated.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.bigquery import BigQueryCompiler

from core.storage.warehouses import rounding
from core.storage.warehouses.first_struct import FirstStruct


class _BigQueryWarehouseCompiler(FirstStruct, BigQueryCompiler):  # type: ignore[misc]  # Ibis has no types
    def visit_Cast(self, op: ops.Cast, *, arg: Any, to: Any) -> Any:  # noqa: N802
        given = op.arg.dtype
        if given.is_string() and to.is_json():
            return self._parse_json("PARSE_JSON", arg)
        if given.is_json() and to.is_string():
            return self.if_(arg.is_(sge.Null()), sge.Null(), self.f.to_json_string(arg))
        if given.is_boolean() and (to.is_floating() or to.is_decimal()):
            return self.cast(self.cast(arg, dt.int64), to)
        if given.is_floating() and to.is_integer():
            return self.cast(rounding.half_even(arg), to)
        if to.is_decimal():
            return self.f.round(self.cast(arg, to), to.scale)
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_TryCast(self, op: ops.TryCast, *, arg: Any, to: Any) -> Any:  # noqa: N802
        if to.is_json():
            return self._parse_json("SAFE.PARSE_JSON", arg)
        value = super().visit_TryCast(op, arg=arg, to=to)
        return self.f.round(value, to.scale) if to.is_decimal() else value

    def visit_Greatest(self, _op: ops.Greatest, *, arg: Any) -> Any:  # noqa: N802
        return reduce(lambda a, b: self.f.coalesce(self.f.greatest(a, b), a, b), arg)

    def visit_Least(self, _op: ops.Least, *, arg: Any) -> Any:  # noqa: N802
        return reduce(lambda a, b: self.f.coalesce(self.f.least(a, b), a, b), arg)

    def visit_RegexExtract(  # noqa: N802
        self, op: ops.RegexExtract, *, arg: Any, pattern: Any, index: Any
    ) -> Any:
        if index.sql() != "1":
            return super().visit_RegexExtract(op, arg=arg, pattern=pattern, index=index)
        return self.f.anon.regexp_extract(arg, pattern)  # what its only group captures

    def visit_TimestampAdd(self, op: ops.TimestampAdd, *, left: Any, right: Any) -> Any:  # noqa: N802
        return self._moved("ADD", op, left, right)

    def visit_TimestampSub(self, op: ops.TimestampSub, *, left: Any, right: Any) -> Any:  # noqa: N802
        return self._moved("SUB", op, left, right)

    def visit_ExtractEpochSeconds(self, op: ops.ExtractEpochSeconds, *, arg: Any) -> Any:  # noqa: N802
        return self.f.unix_seconds(arg if op.arg.dtype.timezone else self.f.anon.timestamp(arg))

    def visit_TimestampFromUNIX(  # noqa: N802
        self, op: ops.TimestampFromUNIX, *, arg: Any, unit: Any
    ) -> Any:
        return self.f.anon.datetime(super().visit_TimestampFromUNIX(op, arg=arg, unit=unit))

    def visit_SQLStringView(self, _op: ops.SQLStringView, *, query: str, **_: Any) -> Any:  # noqa: N802
        return sg.parse_one(query, read="duckdb")  # in which a home's own features are written

    def _parse_json(self, function: str, text: Any) -> Any:
        """JSON, whose numbers may lose digits that no floating-point number has."""
        mode = sge.Kwarg(this=sg.to_identifier("wide_number_mode"), expression=sge.convert("round"))
        return self.f.anon[function](text, mode)

    def _moved(self, how: str, op: Any, left: Any, right: Any) -> Any:
        return self.f.anon[f"{'TIMESTAMP' if op.left.dtype.timezone else 'DATETIME'}_{how}"](left, right)

    def _first(self, struct: Any, where: Any, *, desc: bool) -> Any:
        """The struct whose fields come first in order."""
        fields = [field.this for field in struct.expressions]
        order = [sge.Ordered(this=field, desc=desc, nulls_first=not desc) for field in fields]
        if where is not None:
            order.insert(0, sge.Ordered(this=where, desc=True, nulls_first=False))
            struct = self.if_(where, struct, sge.Null())
        ordered = sge.Limit(this=sge.Order(this=struct, expressions=order), expression=sge.convert(1))
        return self.f.array_agg(ordered)[self.f.safe_offset(0)]


COMPILER = _BigQueryWarehouseCompiler()
"""Compiles Ibis expressions for a session of BigQuery."""
