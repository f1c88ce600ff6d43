"""Sparse matrices with a row per customer or product and a column per product."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from models.estimator import Array
from models.products.purchases import Ints

Places = NDArray[np.signedinteger[Any]]


def matrix(row: Places, column: Places, values: Array, shape: tuple[int, int]) -> sp.csr_array:
    """A matrix of values at distinct positions."""
    return sp.csr_array((values, (row, column)), shape=shape)


def rows_of(values: sp.csr_array) -> Ints:
    """The row of each stored value."""
    return np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))


def largest(values: sp.csr_array, count: int) -> sp.csr_array:
    """The ``count`` largest values of each row, ties resolved by column."""
    parts = (
        start + _largest(values.data[start:end], values.indices[start:end], count)
        for start, end in zip(values.indptr[:-1], values.indptr[1:], strict=True)
    )
    chosen = np.concatenate([np.empty(0, np.int64), *parts])
    return matrix(rows_of(values)[chosen], values.indices[chosen], values.data[chosen], values.shape)


def _largest(data: Array, column: Places, count: int) -> Places:
    """The positions of the largest values of a row; sorting all of them would take ten times as long."""
    if len(data) <= count:
        return np.arange(len(data))
    least = np.partition(data, -count)[-count]
    larger, ties = np.flatnonzero(data > least), np.flatnonzero(data == least)
    by_column = np.argsort(column[ties], kind="stable")
    return np.concatenate([larger, ties[by_column[: count - len(larger)]]])


def at(values: sp.csr_array, row: Places, column: Places) -> Array:
    """The values at positions, 0 if none is stored."""
    if not len(row):  # SciPy would return a matrix
        return np.empty(0)
    stored: Array = np.asarray(values[row, column], np.float64).ravel()
    return stored
