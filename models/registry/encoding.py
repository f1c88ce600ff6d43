"""Encodes feature values as the numeric matrix of the estimators, in training and serving alike."""

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

from models.estimator import Array

SMALLEST_CATEGORY = 20  # rarer categories are useless for training and could identify a customer


@dataclass(frozen=True)
class Column:
    """A feature as a column of a model.

    Attributes:
        definition: the hash of the feature's definition at training time.
        vocabulary: the categories of a text feature; a value's code is its position, and any other value
            counts as missing.
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
        """A value as a float; NaN if it is missing or unknown."""
        if self.dtype == "string":
            return self._codes.get(value, math.nan)
        return math.nan if value is None or value is pd.NA else value

    def encode(self, values: Sequence[Any]) -> list[float]:
        """The values as floats; NaN for missing or unknown ones."""
        if self.dtype == "string":
            return [self._codes.get(value, math.nan) for value in values]
        return [math.nan if value is None or value is pd.NA else value for value in values]

    def encode_column(self, values: pa.Array) -> Array:
        """The values of an Arrow array as floats; NaN for missing or unknown ones."""
        if self.dtype == "string":
            values = pc.index_in(values, value_set=pa.array(self.vocabulary, pa.string()))
        return numbers(values)


def numbers(values: pa.Array) -> Array:
    """An Arrow array of numbers or booleans as floats; NaN for null."""
    # Arrow's cast takes several times as long for the columns of a hundred customers.
    plain = values.to_numpy(zero_copy_only=False)
    if plain.dtype == object:  # such as booleans with nulls
        plain = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    floats: Array = plain.astype(np.float64, copy=False)
    return floats


def matrix(columns: Sequence[Column], values: Mapping[str, Sequence[Any]]) -> Array:
    """One row per customer, one column per feature.

    Args:
        values: by feature name; additional ones are ignored.
    """
    count = len(values[columns[0].name])
    if count == 1:  # creating an array per value would take most of the time of a score
        return np.array([[column.code(values[column.name][0]) for column in columns]], dtype=np.float64)
    x = np.empty((count, len(columns)))
    for i, column in enumerate(columns):
        x[:, i] = column.encode(values[column.name])
    return x


def column_matrix(columns: Sequence[Column], values: Mapping[str, pa.Array]) -> Array:
    """The same for features as Arrow arrays by name."""
    x = np.empty((len(values[columns[0].name]), len(columns)))
    for i, column in enumerate(columns):
        x[:, i] = column.encode_column(values[column.name])
    return x


def days_of(moments: pd.Series) -> NDArray[np.int64]:
    """The days, counted from 1970-01-01, on which moments begin that are midnights in some time zone."""
    utc = pd.to_datetime(moments, utc=True)
    return np.asarray(utc.dt.round("D").dt.as_unit("s").astype("int64"), np.int64) // 86_400


def vocabulary(values: pd.Series) -> tuple[str, ...]:
    """The categories that are frequent enough, in alphabetical order."""
    counts = values.dropna().value_counts()
    return tuple(sorted(str(v) for v in counts[counts >= SMALLEST_CATEGORY].index))
