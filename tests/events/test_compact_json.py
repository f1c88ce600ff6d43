"""Compact JSON is byte for byte that of Python's json module, on which stored digests depend."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from events.segment import compact_json

# Python writes numbers outside of 0.0001 to 1e16 with an exponent.
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e-3, 1e-3)
TEXTS = st.text() | st.sampled_from(["null", ",1e5", ":0.00001", "\x7f\u2028\0", "a\\u0000"])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def _by_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


@given(VALUES)
@example({"price": 1e-05, "total": 1e16, "tiny": [5e-324, -1e22], "none": None})
@example([0.0001, 0.00012, -0.0, 123456789012345680.0, 2**200])
@example(1e-7)
def test_the_bytes_are_those_of_the_json_module(value: Any) -> None:
    assert compact_json.encode(value) == _by_json(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_an_error(number: float) -> None:
    for value in (number, {"a": number}, ["\ud800", number]):
        with pytest.raises(ValueError, match="not JSON compliant"):
            compact_json.encode(value)


def test_a_text_that_is_not_unicode_is_an_error() -> None:
    with pytest.raises(UnicodeError):
        compact_json.encode({"a": "\ud800"})
