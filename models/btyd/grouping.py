"""Grouping of identical customers, so that a likelihood is computed once per group."""

from __future__ import annotations

import numpy as np

from models.estimator import Array


def grouped(*columns: Array) -> tuple[list[Array], Array]:
    """The distinct rows of columns of equal length, and the number of customers of each row."""
    key = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        values, codes = np.unique(column, return_inverse=True)
        # Renumber for each column, so that the product stays far below 2⁶³.
        key = np.unique(key * len(values) + codes, return_inverse=True)[1]
    _, first, counts = np.unique(key, return_index=True, return_counts=True)
    return [column[first] for column in columns], counts.astype(np.float64)
