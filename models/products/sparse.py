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
    row = rows_of(values)
    order = np.lexsort((values.indices, -values.data, row))
    place = np.arange(len(order)) - values.indptr[row[order]]
    chosen = order[place < count]
    return matrix(row[chosen], values.indices[chosen], values.data[chosen], values.shape)


def at(values: sp.csr_array, row: Places, column: Places) -> Array:
    """The values at positions, 0 if none is stored."""
    if not len(row):  # SciPy would return a matrix
        return np.empty(0)
    stored: Array = np.asarray(values[row, column], np.float64).ravel()
    return stored
