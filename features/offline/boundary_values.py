"""The mathematics of boundaries: quintiles, tiers by revenue, and tastes as clusters of customers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.shop import Tiers

Floats = NDArray[np.float64]
FIFTHS = (0.2, 0.4, 0.6, 0.8)
MAX_TASTES = 8
LEADING_SHARE, LEADING_LIFT = 0.12, 1.5  # minimum share and lift of the categories in a taste's name
SEED = 7
SAMPLE = 4000  # customers on which the number of tastes is chosen


def quintiles(values: Floats) -> list[float]:
    """The smallest value of each fifth but the lowest; infinite if ties leave a fifth empty.

    Equal values are never separated: a bound is the smallest value above the quantile.
    """
    if not len(values):
        return [np.inf] * len(FIFTHS)
    cuts = np.quantile(values, FIFTHS, method="inverted_cdf")
    return [float(values[values > cut].min(initial=np.inf)) for cut in cuts]


def tier_bounds(net_spend: Floats, rule: Tiers) -> list[float]:
    """The smallest net spend of tiers A, B and C; infinite if a tier is empty.

    Tier A are the customers who together bring ``rule.share`` of the money (or are that share of those
    who bring any); B those who bring 15 % more (or are 30 % more); C all others who bring any.
    """
    largest = np.sort(net_spend[net_spend > 0])[::-1]
    if not len(largest):
        return [np.inf] * 3
    weight, further = (largest, 0.15) if rule.of == "revenue" else (np.ones(len(largest)), 0.30)
    reached = np.cumsum(weight) / weight.sum()

    def least(share: float) -> float:
        # The customer who completes the share belongs to it; floating-point sums are slightly inexact.
        return float(largest[min(int(np.searchsorted(reached, share - 1e-9)), len(largest) - 1)])

    return [least(rule.share), least(min(rule.share + further, 1.0)), float(largest[-1])]


def taste_centres(matrix: Floats) -> Floats:
    """Centres of the customers' shares by category (k-means), their number chosen by silhouette.

    Args:
        matrix: one row per customer, one column per category; rows sum to 1.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    sample = matrix[np.random.default_rng(SEED).permutation(len(matrix))[:SAMPLE]]
    kinds = len(np.unique(sample.round(9), axis=0))
    best, centres = -np.inf, sample.mean(axis=0, keepdims=True)
    for k in range(2, min(MAX_TASTES, kinds - 1, matrix.shape[1]) + 1):
        fitted = KMeans(k, n_init=4, random_state=SEED).fit(sample)
        score = float(silhouette_score(sample, fitted.labels_))
        if score > best:
            best, centres = score, fitted.cluster_centers_
    final: Floats = KMeans(len(centres), init=centres, n_init=1).fit(matrix).cluster_centers_
    return final


def taste_names(centres: Floats, usual: Floats, categories: Sequence[str]) -> list[str]:
    """Names for centres: up to two categories with the largest shares among those with a high lift.

    ``mixed`` if there is none; a second centre with the same name gets a number.
    """
    given: list[str] = []
    for centre in centres:
        stands_out = (centre >= LEADING_SHARE) & (centre >= LEADING_LIFT * usual)
        leading = sorted(np.flatnonzero(stands_out).tolist(), key=lambda i: (-centre[i], categories[i]))
        name = " & ".join(categories[i] for i in leading[:2]) or "mixed"
        taken = sum(other == name or other.startswith(f"{name} (") for other in given)
        given.append(f"{name} ({taken + 1})" if taken else name)
    return given
