"""Features in a request: values that the application knows earlier than the store."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from serving.http.problems import Unprocessable
from serving.scores.champions import Champions

MAX_TEXT_LENGTH = 200
_FITS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int64": ("a whole number", lambda value: type(value) is int and -(2**63) <= value < 2**63),
    "float64": ("a number", lambda value: type(value) in (int, float) and _finite(value)),
    "string": (
        f"a text of at most {MAX_TEXT_LENGTH} characters",
        lambda value: type(value) is str and len(value) <= MAX_TEXT_LENGTH,
    ),
    "boolean": ("true or false", lambda value: type(value) is bool),
}


def check_context(context: Mapping[str, Any] | None, champions: Champions) -> dict[str, Any]:
    """The context, once every name is a feature and every value has its type; null is a missing value.

    Raises:
        Unprocessable: a name or a value is wrong.
    """
    fitting = {}
    for name, value in (context or {}).items():
        if (dtype := champions.types.get(name)) is None:
            raise Unprocessable(
                f"context: the store has no feature {name[:50]!r}; `patron features` lists those it has"
            )
        words, fits = _FITS[dtype]
        if value is not None and not fits(value):
            raise Unprocessable(f"context.{name}: the feature is {words}, or null if it is missing")
        fitting[name] = float(value) if dtype == "float64" and value is not None else value
    return fitting


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False
