"""Cells of CSV files that a spreadsheet shows as they are: no formula starts, no id is read as a number.

The two guards can be undone: a text by dropping an apostrophe at its start and after each line break
or semicolon, an id by unwrapping ``="..."`` (or, where it is longer than formulas allow, by dropping the
apostrophe).
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from numbers import Integral, Real

# What may stand before a formula and be overlooked: blanks, quotes, controls and marks without width.
_UNSEEN = r"[\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\"'`´‘’‚“”„«»＂＇]*"
_SIGNS = r"=+\-@＝＋－＠﹦﹢﹣﹫−"
# A cell also starts after a line break or a semicolon where Excel's locale splits lines by semicolons.
_STARTS = r"(?:^|(?<=[;\r\n]))"
_FORMULA = re.compile(rf"{_STARTS}(?=['\t\r\n\x00]|{_UNSEEN}[{_SIGNS}])")

# Ids that no spreadsheet, in any language, takes for a number, a date, money or a truth value: whole
# numbers that are shown in full, a letter (of no currency) and digits, or two words that are no date.
_CERTAIN = re.compile(
    r"0|[1-9]\d{0,10}|[A-CF-JNOU-Z]\d+|(?=\w*_|\S*[A-Za-z][^A-Za-z]+[A-Za-z])[A-Za-z0-9][\w.@-]*", re.ASCII
)
_MAX_LITERAL_LENGTH = 255  # characters of a text within one of Excel's formulas


def inert(text: str) -> str:
    """The text with an apostrophe wherever a spreadsheet could begin a formula, or would hide one."""
    return _FORMULA.sub("'", text)


def exact_id(identifier: str) -> str:
    """The id, as the formula ``="id"`` where a spreadsheet would otherwise show something else."""
    if _CERTAIN.fullmatch(identifier):
        return identifier
    if len(identifier) > _MAX_LITERAL_LENGTH:
        return "'" + identifier
    return '="' + identifier.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """The text in double quotes, by RFC 4180."""
    return '"' + text.replace('"', '""') + '"'


def number(value: Real | Decimal) -> str:
    """The number in full, with a point and without an exponent; empty where it is not finite."""
    if isinstance(value, Integral):
        return str(int(value))
    if not math.isfinite(value):
        return ""
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    return f"{exact:f}"
