"""Means over Beta distributions, by Gauss-Jacobi quadrature."""

from __future__ import annotations

import numpy as np

from models.estimator import Array


def beta_nodes(a: Array, b: Array, nodes: int) -> tuple[Array, Array]:
    """Points and weights whose weighted sum is the mean over Beta(a, b).

    Exact for polynomials of degree up to 2 × nodes − 1. The eigenvalues of the Jacobi matrix are the points
    and the first entries of its eigenvectors, squared, the weights (Golub & Welsch, 1969). The weights add up
    to 1, so that nothing overflows where the Beta function would.

    Args:
        a, b: one per distribution, above 0.

    Returns:
        Points within 0 and 1, and weights, each of shape (distributions, nodes).
    """
    k = np.arange(1.0, nodes)
    left, right = (a - 1)[:, None], (b - 1)[:, None]  # exponents of p and of 1 − p
    total = 2 * k + left + right
    diagonal = np.empty((len(a), nodes))
    diagonal[:, 0] = a / (a + b)
    diagonal[:, 1:] = 0.5 + (left - right) * (left + right) / (2 * total * (total + 2))
    squares = np.empty((len(a), nodes - 1))
    squares[:, 0] = a * b / ((a + b) ** 2 * (a + b + 1))
    later, k = total[:, 1:], k[1:]
    squares[:, 1:] = (
        k * (k + left) * (k + right) * (k + left + right) / (later**2 * (later + 1) * (later - 1))
    )
    matrices = np.zeros((len(a), nodes, nodes))
    places = np.arange(nodes)
    matrices[:, places, places] = diagonal
    matrices[:, places[1:], places[:-1]] = np.sqrt(squares)  # eigh reads the lower triangle
    points, vectors = np.linalg.eigh(matrices)
    return np.clip(points, 0.0, 1.0), vectors[:, 0, :] ** 2
