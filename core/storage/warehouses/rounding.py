"""Rounding as DuckDB converts a floating-point number to an integer, for warehouses that round otherwise."""

from __future__ import annotations

from typing import Any

import sqlglot as sg
import sqlglot.expressions as sge


def half_even(number: Any) -> Any:
    """The nearest whole number, as a floating-point number; of two equally near ones the even one."""
    below = sg.func("floor", number)
    part = sge.paren(number - below.copy())
    is_odd = (sg.func("floor", below.copy() * sge.convert(0.5)) * sge.convert(2)).neq(below.copy())
    up = sge.or_(part > sge.convert(0.5), sge.and_(part.copy().eq(sge.convert(0.5)), is_odd))
    return below + sge.Case(ifs=[sge.If(this=up, true=sge.convert(1))], default=sge.convert(0))
