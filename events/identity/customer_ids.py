"""The one spelling of a customer's id, and the texts that are no id.

Ids that look the same are the same: Unicode NFC, without blanks around them. Case is kept, since it tells
ids apart in many systems. Placeholders are what programs write where they have no id. If they were accepted,
everybody without an id would become one customer.
"""

from __future__ import annotations

import re
import unicodedata

BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""Unicode's white space, the zero width space and the byte order mark."""
PLACEHOLDERS = (
    "null", "(null)", "<null>", "nil", "none", "undefined", "nan", "n/a", "unknown", "anonymous",
    "[object object]", "[object undefined]", "{}", "[]", "-1",
)  # fmt: skip
"""Placeholders in lower case. With ``ZEROES`` they contain the values that Segment's identity resolution
blocks by default: zeroes and dashes, ``-1``, ``null`` and ``anonymous``.
"""
ZEROES = "[0-]+"
"""A regular expression: zeroes and dashes only, such as ``0`` and a UUID of zeroes."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_ZEROES = re.compile(ZEROES)
_PLACEHOLDERS = frozenset(PLACEHOLDERS)


def fold(customer_id: str) -> str:
    """An id in its one spelling; folding it again changes nothing."""
    text = customer_id if customer_id.isascii() else unicodedata.normalize("NFC", customer_id)
    return text.strip(BLANKS)


def is_placeholder(customer_id: str) -> bool:
    """Whether a folded id stands for no customer."""
    return customer_id.lower() in _PLACEHOLDERS or _ZEROES.fullmatch(customer_id) is not None


def has_control_character(customer_id: str) -> bool:
    """Whether an id contains a control character, such as a line break."""
    return _CONTROL.search(customer_id) is not None
