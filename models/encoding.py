"""Feature values → the numeric matrix that estimators read, the same way in training and serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
SMALLEST_CATEGORY = 20  # rarer categories teach nothing and could point at one customer


@dataclass(frozen=True)
class Column:
    """One feature as a model reads it.

    Attributes:
        definition: hash of the feature's definition at training time.
        vocabulary: the categories of a text feature; a value's code is its place, any other
            value counts as missing.
    """

    name: str
    dtype: str
    unit: str
    definition: str
    vocabulary: tuple[str, ...] = ()

    def encode(self, values: Sequence[Any]) -> Array:
        """One float per value; NaN where it is missing or unknown."""
        if self.dtype == "string":
            codes = {value: float(i) for i, value in enumerate(self.vocabulary)}
            return np.array([codes.get(value, np.nan) for value in values], dtype=np.float64)
        numbers = [np.nan if value is None or value is pd.NA else value for value in values]
        return np.array(numbers, dtype=np.float64)


def matrix(columns: Sequence[Column], values: Mapping[str, Sequence[Any]]) -> Array:
    """One row per customer, one column per feature.

    Args:
        values: by feature name; more than the needed ones, in any order, is fine.
    """
    count = len(values[columns[0].name])
    x = np.empty((count, len(columns)))
    for i, column in enumerate(columns):
        x[:, i] = column.encode(values[column.name])
    return x


def vocabulary(values: pd.Series) -> tuple[str, ...]:
    """The categories frequent enough to learn from, in alphabetical order."""
    counts = values.dropna().value_counts()
    return tuple(sorted(str(v) for v in counts[counts >= SMALLEST_CATEGORY].index))
