"""Association rules between pairs of products: customers who buy A also buy B."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from core.errors import PatronError
from models.products.pairs import incidence, together
from models.products.purchases import Purchases

LARGEST_BASKET = 100  # products; larger baskets say little about pairs, and have quadratically many
MIN_BASKETS = 10  # with both products; fewer may be chance
SCHEMA = pa.schema(
    [
        ("antecedent", pa.string()),
        ("consequent", pa.string()),
        ("baskets", pa.int64()),
        ("antecedent_baskets", pa.int64()),
        ("support", pa.float64()),
        ("confidence", pa.float64()),
        ("lift", pa.float64()),
    ]
)


def mine(
    purchases: Purchases, min_baskets: int = MIN_BASKETS, largest_basket: int = LARGEST_BASKET
) -> pa.Table:
    """All rules "baskets with A also have B" with enough baskets, the highest lift first.

    With n baskets, of which n(A) have A: support = n(A, B) / n, the share with both; confidence =
    n(A, B) / n(A), the share of those with A that have B too (Agrawal, Imieliński & Swami, 1993,
    section 2); lift = confidence / (n(B) / n), how many times as often as among all baskets (Brin, Motwani,
    Ullman & Tsur, 1997, who call it interest). A lift of 1 means that the two are independent.

    Args:
        min_baskets: the minimum number of baskets with both; rules with fewer are left out.
        largest_basket: in products; larger baskets are left out of every count.

    Returns:
        ``antecedent`` (A) and ``consequent`` (B), both product ids; ``baskets`` n(A, B),
        ``antecedent_baskets`` n(A), ``support``, ``confidence``, ``lift``.

    Raises:
        PatronError: there are fewer than two products, or every basket is too large.
    """
    counted = purchases.within_baskets_of(largest_basket)
    names = np.array(purchases.product_ids)
    if len(np.unique(counted.product)) < 2:
        raise PatronError(
            f"rules need two products in baskets of at most {largest_basket}, and these orders have"
            f" {len(np.unique(counted.product))}; import more orders, or allow larger baskets"
        )
    baskets, basket = np.unique(counted.basket, return_inverse=True)
    matrix = incidence(basket, counted.product, len(baskets), len(names))
    own = matrix.sum(axis=0)
    blocks = []
    for first, counts in together(matrix):
        pairs = counts.tocoo()
        frequent = (pairs.data >= min_baskets) & (pairs.row + first != pairs.col)
        blocks.append((pairs.row[frequent] + first, pairs.col[frequent], pairs.data[frequent]))
    a, b, both = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    confidence = both / own[a]
    lift = confidence / (own[b] / len(baskets))
    order = np.lexsort((b, a, -both, -lift))
    columns = [names[a], names[b], both, own[a], both / len(baskets), confidence, lift]
    return pa.table([pa.array(column[order]) for column in columns], names=SCHEMA.names).cast(SCHEMA)
