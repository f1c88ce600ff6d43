"""Counts of how often two products were bought together, for rules and reasons."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from models.products.purchases import Ints

BLOCK = 2000  # products whose pairs are counted at a time, to bound memory


def incidence(row: Ints, product: Ints, rows: int, products: int) -> sp.csr_array:
    """A 0/1 matrix of the products in each basket, or of each customer."""
    ones = np.ones(len(row), np.int32)
    matrix = sp.csr_array((ones, (row, product)), shape=(rows, products))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def together(matrix: sp.csr_array) -> Iterator[tuple[int, sp.csr_array]]:
    """Count the rows of an incidence matrix that contain both of two products, a block of products at a time.

    Yields:
        The first product of the block, and the counts: a row per product of the block, a column per
        product. The diagonal has each product's own count.
    """
    by_product = matrix.T.tocsr()
    for first in range(0, by_product.shape[0], BLOCK):
        yield first, (by_product[first : first + BLOCK] @ matrix).tocsr()
