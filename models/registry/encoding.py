"""Feature values → the numeric matrix that estimators read, the same way in training and serving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
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

    @cached_property
    def _codes(self) -> dict[Any, float]:
        return {value: float(i) for i, value in enumerate(self.vocabulary)}

    def code(self, value: Any) -> float:
        """One value as a float; NaN where it is missing or unknown."""
        if self.dtype == "string":
            return self._codes.get(value, math.nan)
        return math.nan if value is None or value is pd.NA else value

    def encode(self, values: Sequence[Any]) -> list[float]:
        """One float per value; NaN where it is missing or unknown."""
        if self.dtype == "string":
            return [self._codes.get(value, math.nan) for value in values]
        return [math.nan if value is None or value is pd.NA else value for value in values]

    def encode_column(self, values: pa.Array) -> Array:
        """The same of an Arrow array, all at once."""
        if self.dtype == "string":
            values = pc.index_in(values, value_set=pa.array(self.vocabulary, pa.string()))
        return numbers(values)


def numbers(values: pa.Array) -> Array:
    """An Arrow array of numbers or booleans as floats; NaN where it is null."""
    floats: Array = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return floats


def matrix(columns: Sequence[Column], values: Mapping[str, Sequence[Any]]) -> Array:
    """One row per customer, one column per feature.

    Args:
        values: by feature name; more than the needed ones, in any order, is fine.
    """
    count = len(values[columns[0].name])
    if count == 1:  # an array of its own per value would cost most of a score
        return np.array([[column.code(values[column.name][0]) for column in columns]], dtype=np.float64)
    x = np.empty((count, len(columns)))
    for i, column in enumerate(columns):
        x[:, i] = column.encode(values[column.name])
    return x


def column_matrix(columns: Sequence[Column], values: Mapping[str, pa.Array]) -> Array:
    """The same of many customers' features as Arrow arrays by name."""
    x = np.empty((len(values[columns[0].name]), len(columns)))
    for i, column in enumerate(columns):
        x[:, i] = column.encode_column(values[column.name])
    return x


def vocabulary(values: pd.Series) -> tuple[str, ...]:
    """The categories frequent enough to learn from, in alphabetical order."""
    counts = values.dropna().value_counts()
    return tuple(sorted(str(v) for v in counts[counts >= SMALLEST_CATEGORY].index))
