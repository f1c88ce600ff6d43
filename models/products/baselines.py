"""Baseline rankings, which a learned ranking has to beat."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from models.estimator import Array
from models.products.assortment import Assortment
from models.products.histories import Histories
from models.products.purchases import Ints


def most_popular(who: Ints, goods: Assortment) -> Array:
    """The same ranking for everyone: by the share of the last 90 days' baskets with the product.

    Returns:
        Scores, customers × products; higher is better. The same holds for the functions below.
    """
    return np.tile(goods.popularity[1], (len(who), 1))


def bought_before(who: Ints, histories: Histories, goods: Assortment) -> Array:
    """The customer's own products by number of baskets, ties by popularity; then other products by
    popularity.

    Personal frequency followed by general popularity is the strongest of the simple rankings of next
    baskets (Li, Jullien, Ariannezhad & de Rijke, 2023, "A next basket recommendation reality check").
    """
    times: sp.csr_array = histories.times[who]
    result: Array = times.toarray() + most_popular(who, goods)
    return result
