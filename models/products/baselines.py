"""The simplest rankings, which a learnt one has to beat."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from models.products.assortment import Assortment
from models.products.histories import Histories
from models.products.purchases import Ints
from models.spec import Array


def most_popular(who: Ints, goods: Assortment) -> Array:
    """The same for everyone: the products in most of the last 90 days' baskets first.

    Returns:
        Customers × products, the higher the better; as those below.
    """
    return np.tile(goods.popularity[1], (len(who), 1))


def bought_before(who: Ints, histories: Histories, goods: Assortment) -> Array:
    """What the customer bought in most baskets first, of equals the most popular, then what is popular.

    Personal frequency filled up by the general one, the strongest of the simple rankings of next
    baskets (Li, Jullien, Ariannezhad & de Rijke, 2023, "A next basket recommendation reality check").
    """
    times: sp.csr_array = histories.times[who]
    result: Array = times.toarray() + most_popular(who, goods)
    return result
