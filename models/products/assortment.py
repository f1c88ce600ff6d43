"""Facts about products: their sales, and which are bought together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from models.estimator import Array
from models.products.histories import Histories
from models.products.pairs import incidence, together
from models.products.purchases import Ints, Purchases
from models.products.rules import LARGEST_BASKET
from models.products.sparse import at, largest, matrix

WINDOWS_DAYS = (30, 90, 365)
LINKS = 100  # per product
LINKED_PRODUCTS = 5000  # the most bought ones; computing links needs a dense matrix of this size squared
LINK_PENALTY = 200.0
CUSTOMERS_PRIOR = 5  # pseudo-customers who bought once, so that few customers do not make a high repeat share


@dataclass(frozen=True)
class Assortment:
    """Facts by product, by position; the sparse matrices are products × products.

    Attributes:
        popularity: a row per window of ``WINDOWS_DAYS``: the share of its baskets with the product.
        repeat_share: the share of its customers who bought it in two baskets or more, smoothed towards 0.
        first_days_ago, last_days_ago: days of the shop since its first and last sale.
        links: the weight by which a purchase of A (the row) raises the score of B, given the other purchases.
    """

    popularity: Array
    repeat_share: Array
    first_days_ago: Ints
    last_days_ago: Ints
    links: sp.csr_array

    @cached_property
    def linked_from(self) -> sp.csr_array:
        """The links transposed: the row is the raised product B, the column the purchased product A."""
        return self.links.T.tocsr()


@dataclass(frozen=True)
class CountedAssortment(Assortment):
    """Facts by product, with the counts that reasons state.

    Attributes:
        baskets: the number of baskets with it, among those of at most ``LARGEST_BASKET`` products.
        together: for each link, the number of these baskets with both.
    """

    baskets: Ints
    together: sp.csr_array


def assortment(purchases: Purchases, histories: Histories, links: Links) -> Assortment:
    """Compute the facts as of the purchases' ``as_of``."""
    count = histories.products
    days_ago = purchases.days_ago
    first_days, last_days = np.full(count, -1), np.full(count, np.iinfo(np.int32).max)
    np.maximum.at(first_days, purchases.product, days_ago)
    np.minimum.at(last_days, purchases.product, days_ago)
    bought = histories.bought
    buyers = np.bincount(bought.product, minlength=count)
    again = np.bincount(bought.product, weights=bought.times > 1, minlength=count)
    return Assortment(
        popularity=np.stack([popularity(purchases, days, count) for days in WINDOWS_DAYS]),
        repeat_share=again / np.maximum(buyers, CUSTOMERS_PRIOR),
        first_days_ago=first_days,
        last_days_ago=last_days,
        links=links(histories),
    )


def counted(goods: Assortment, purchases: Purchases) -> CountedAssortment:
    """The facts with the counts of baskets, as of the purchases' ``as_of``."""
    baskets, both = _together(purchases, goods.links)
    facts = {field.name: getattr(goods, field.name) for field in fields(goods)}
    return CountedAssortment(**facts, baskets=baskets, together=both)


def popularity(purchases: Purchases, days: int, count: int) -> Array:
    """Share of the baskets of the last ``days`` days with each product; 0 if there were no baskets."""
    recent = purchases.rows(purchases.days_ago <= days)
    baskets = len(np.unique(recent.basket))
    return np.bincount(recent.product, minlength=count) / max(1, baskets)


def _together(purchases: Purchases, related: sp.csr_array) -> tuple[Ints, sp.csr_array]:
    """The number of baskets with each product, and with each pair of related products."""
    counted = purchases.within_baskets_of(LARGEST_BASKET)
    baskets, basket = np.unique(counted.basket, return_inverse=True)
    baskets_with = incidence(basket, counted.product, len(baskets), related.shape[0])
    parts = []
    for first, counts in together(baskets_with):
        wanted = related[first : first + counts.shape[0]].tocoo()
        both = at(counts, wanted.row, wanted.col)
        parts.append(matrix(wanted.row, wanted.col, both, counts.shape))
    return np.asarray(baskets_with.sum(axis=0)).ravel(), sp.vstack(parts, format="csr")


class Links:
    """The item-to-item weights that best reconstruct each customer's purchases from their other purchases.

    EASE (Steck, 2019, "Embarrassingly shallow autoencoders for sparse data", equation 8): with P the inverse
    of X'X + λI, having bought A adds −P(A, B) / P(B, B) to B, and nothing where A is B. X is customers ×
    products, the ``weights`` of the histories. Of each A the ``LINKS`` largest weights above 0 are
    kept. Only the ``LINKED_PRODUCTS`` bought by most customers have links, which bounds memory and time.

    The inverse takes a second for thousands of products. An instance computes it once for the same X: a test
    and the final fit read the same moments of the past.
    """

    def __init__(self) -> None:
        self._computed: dict[bytes, sp.coo_array] = {}

    def __call__(self, histories: Histories) -> sp.csr_array:
        """The weights, products × products."""
        buyers = np.bincount(histories.bought.product, minlength=histories.products)
        most_bought = np.argsort(-buyers, kind="stable")[:LINKED_PRODUCTS]
        linked = np.sort(most_bought[buyers[most_bought] > 0])
        x = histories.weights[:, linked].astype(np.float32)
        key = hashlib.sha256(b"".join(part.tobytes() for part in (x.data, x.indices, x.indptr))).digest()
        if key not in self._computed:
            self._computed[key] = _best_links(x)
        best = self._computed[key]
        shape = (histories.products, histories.products)
        return matrix(linked[best.row], linked[best.col], best.data.astype(np.float64), shape)


def _best_links(x: sp.csr_array) -> sp.coo_array:
    """The largest links of each product of a matrix of customers × products."""
    from threadpoolctl import threadpool_limits

    gram = (x.T @ x).toarray() + LINK_PENALTY * np.eye(x.shape[1], dtype=np.float32)
    # One thread: where another process uses the other core, threads of BLAS wait for one another.
    with threadpool_limits(1, user_api="blas"):
        inverse = scipy.linalg.inv(gram, overwrite_a=True, assume_a="pos")
    weights = np.maximum(-inverse / np.diag(inverse), 0)
    np.fill_diagonal(weights, 0)
    if len(weights) > LINKS:  # cutting dense rows is faster than sparse ones
        weights[weights < np.partition(weights, -LINKS, axis=1)[:, [-LINKS]]] = 0
    return largest(sp.csr_array(weights), LINKS).tocoo()
