"""The reason why a product is ranked for a customer, as text."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from models.products.assortment import WINDOWS_DAYS, CountedAssortment
from models.products.histories import Histories
from models.products.purchases import Ints

POPULAR_DAYS = WINDOWS_DAYS[1]
MIN_TOGETHER = 3  # baskets with both; fewer may be chance


def again(times: int, days_ago: int) -> str:
    """The reason for a product that the customer has bought."""
    often = "once" if times == 1 else f"{times} times"
    last = "today" if days_ago == 0 else "1 day ago" if days_ago == 1 else f"{days_ago} days ago"
    return f"bought {often}, last {last}" if times > 1 else f"bought {often}, {last}"


def together(product_id: str, both: int, baskets: int) -> str:
    """The reason for a product bought together with one that the customer has bought."""
    return f"bought with {product_id} in {both:,} of {baskets:,} baskets"


def popular(share: float) -> str:
    """The reason for a popular product: the share of the last baskets with it."""
    return f"popular: in {share:.1%} of the baskets of the last {POPULAR_DAYS} days"


def reasons(
    customer: Ints,
    product: Ints,
    product_ids: tuple[str, ...],
    histories: Histories,
    goods: CountedAssortment,
) -> list[str]:
    """The first reason that applies to each customer and product.

    The reasons are, in this order: bought before; bought together with a product that the customer has bought
    (the one with the largest weight is named); popular.
    """
    rows = histories.rows(customer, product)
    texts = []
    for who, what, row in zip(customer.tolist(), product.tolist(), rows.tolist(), strict=True):
        if row >= 0:
            texts.append(again(int(histories.bought.times[row]), int(histories.bought.days_ago[row])))
            continue
        speaking = _speaking_most(histories.weights, goods.linked_from, who, what)
        both = int(goods.together[speaking, what]) if speaking >= 0 else 0
        if both >= MIN_TOGETHER:
            texts.append(together(product_ids[speaking], both, int(goods.baskets[speaking])))
        else:
            texts.append(popular(float(goods.popularity[1, what])))
    return texts


def _speaking_most(weights: sp.csr_array, links: sp.csr_array, customer: int, product: int) -> int:
    """The customer's product with the largest weight for another product; −1 if there is none."""
    own = slice(weights.indptr[customer], weights.indptr[customer + 1])
    others = slice(links.indptr[product], links.indptr[product + 1])
    shared, i, j = np.intersect1d(weights.indices[own], links.indices[others], return_indices=True)
    return int(shared[np.argmax(weights.data[own][i] * links.data[others][j])]) if len(shared) else -1
