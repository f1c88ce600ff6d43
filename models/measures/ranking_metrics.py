"""Measures of rankings per customer, each with its formula.

``hits`` is a matrix with a row per customer: whether each of the K best-ranked items was relevant, the best
first; if fewer than K were ranked, the rest is False. Each measure is a value per customer, so that its mean
is the measure, and :func:`models.measures.metrics.paired_bootstrap` compares two of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.measures.metrics import Array

Hits = NDArray[np.bool_]


def success(hits: Hits) -> Array:
    """Success@K: 1 for a customer with at least one relevant item among the first K, else 0.

    Also called hit rate, or S@K (Craswell & Hawking, 2004, overview of the TREC web track).
    """
    return np.asarray(hits.any(axis=1), np.float64)


def ndcg(hits: Hits, relevant: NDArray[np.int64]) -> Array:
    """Normalised discounted cumulative gain, NDCG@K, with a gain of 1 for a relevant item.

    DCG = Σ hits(i) / log2(i + 1) over the places i = 1 … K, divided by that of the best ranking possible,
    which has min(K, relevant) hits at the top (Järvelin & Kekäläinen, 2002, with the discount of Burges et
    al., 2005, which begins at the second place).

    Args:
        relevant: per customer the number of relevant items, ranked or not; the result is NaN if it is 0.
    """
    discounts = 1 / np.log2(np.arange(hits.shape[1]) + 2)
    best = np.concatenate([[np.nan], np.cumsum(discounts)])
    result: Array = (hits @ discounts) / best[np.minimum(relevant, hits.shape[1])]
    return result
