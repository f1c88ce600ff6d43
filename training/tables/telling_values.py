"""Values that (nearly) all of their customers have the outcome with: a leak about a part of the customers.

Such a column ranks too few customers to be a leak by its measure; a note says what to look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from models.estimator import Array
from models.registry.encoding import Column

MIN_CUSTOMERS = 30
MIN_SHARE = 0.99
MAX_BASE = 0.5
"""The share of customers with the outcome above which such values are no wonder."""


def telling_values(columns: Sequence[Column], x: Array, y: Array) -> Iterator[str]:
    """A sentence for each column with such a value, about the value of most customers.

    Args:
        y: 0 and 1, of the same rows.
    """
    if y.mean() > MAX_BASE:
        return
    for i, column in enumerate(columns):
        parts = [(words, y[mask]) for words, mask in _parts(column, x[:, i])]
        telling = [
            (len(p), words, p) for words, p in parts if len(p) >= MIN_CUSTOMERS and p.mean() >= MIN_SHARE
        ]
        if telling:
            customers, words, part = max(telling, key=lambda entry: entry[0])
            yield f"{int(part.sum()):,} of {customers:,} customers whose {column.name} is {words}"


def _parts(column: Column, values: Array) -> Iterator[tuple[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
    """The values of a column that are compared, in words, and which rows have them."""
    known = np.isfinite(values)
    yield "known", known
    yield "missing", ~known
    for code, value in enumerate({"boolean": ("no", "yes")}.get(column.dtype, column.vocabulary)):
        yield value, values == code
