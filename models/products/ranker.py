"""Ranks the products that a customer is most likely to buy next, with reasons."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import ibis.expr.types as ir
import lightgbm as lgb
import numpy as np
import pyarrow as pa

from core.errors import PatronError
from models.products.assortment import CountedAssortment, Links, assortment, counted
from models.products.candidates import candidates
from models.products.histories import Histories, histories
from models.products.learning import CUSTOMERS_AT_ONCE, examples, learn, probabilities
from models.products.purchases import Ints, read
from models.products.reasons import popular, reasons

SCHEMA = pa.schema(
    [
        ("customer_key", pa.int64()),
        ("product_id", pa.string()),
        ("score", pa.float64()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class FittedProducts:
    """A fitted ranking, with the facts about customers and products as of ``as_of``.

    Attributes:
        product_ids: the product at each position.
        category: of each product, ``NO_CATEGORY`` if it has none.
    """

    as_of: datetime
    product_ids: tuple[str, ...]
    category: Ints
    histories: Histories
    goods: CountedAssortment
    booster: lgb.Booster

    def rank(self, customer_keys: Sequence[int], k: int = 10, new_only: bool = False) -> pa.Table:
        """The ``k`` products that each customer is most likely to buy next, the most probable first.

        Customers without purchases before ``as_of`` get the most popular products; the score then is the
        share of the last 90 days' baskets with the product.

        Args:
            customer_keys: in any order; the result has the same order.
            k: the number of products per customer; fewer if the shop has fewer candidates.
            new_only: leave out products that the customer has bought before.

        Returns:
            ``customer_key``, ``product_id``, ``score`` (the probability that the customer's next basket
            has the product), ``reason`` in words.

        Raises:
            PatronError: ``k`` is less than 1.
        """
        if k < 1:
            raise PatronError(f"{k} products per customer were requested; request at least 1")
        keys = np.array(customer_keys, np.int64)
        known = self.histories.customers.customer_key
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        has_bought = known[place] == keys
        parts = list(self._ranked(np.unique(place[has_bought]), k, new_only))
        strangers = np.unique(keys[~has_bought])
        parts.append(self._popular(strangers, k))
        return _in_order(pa.concat_tables(parts), keys)

    def knows(self, customer_key: int) -> bool:
        """Whether the customer had bought anything before ``as_of``."""
        known = self.histories.customers.customer_key
        place = int(np.searchsorted(known, customer_key))
        return place < len(known) and bool(known[place] == customer_key)

    def _ranked(self, who: Ints, k: int, new_only: bool) -> Iterator[pa.Table]:
        """Rank the candidates of customers, in batches."""
        for start in range(0, len(who), CUSTOMERS_AT_ONCE):
            part = who[start : start + CUSTOMERS_AT_ONCE]
            rows = candidates(part, self.histories, self.goods, self.category)
            if new_only:
                rows = rows.rows(~rows.bought)
            score = probabilities(self.booster, rows)
            order = np.lexsort((rows.product, -score, rows.customer))
            sorted_by = rows.customer[order]
            best = order[np.arange(len(order)) - np.searchsorted(sorted_by, sorted_by) < k]
            customer, product = rows.customer[best], rows.product[best]
            why = reasons(customer, product, self.product_ids, self.histories, self.goods)
            yield self._table(self.histories.customers.customer_key[customer], product, score[best], why)

    def _popular(self, keys: Ints, k: int) -> pa.Table:
        """The most popular products, for customers without history."""
        share = self.goods.popularity[1]
        best = np.argsort(-share, kind="stable")[:k]
        why = [popular(value) for value in share[best].tolist()]
        times = len(keys)
        return self._table(
            np.repeat(keys, len(best)), np.tile(best, times), np.tile(share[best], times), why * times
        )

    def _table(self, keys: Ints, product: Ints, score: object, why: list[str]) -> pa.Table:
        names = [self.product_ids[place] for place in product.tolist()]
        return pa.table([keys, names, score, why], schema=SCHEMA)


def _in_order(ranked: pa.Table, keys: Ints) -> pa.Table:
    """The rows of each customer in the order of ``keys``, repeated for repeated keys."""
    ranked = ranked.take(np.argsort(ranked["customer_key"].to_numpy(), kind="stable"))
    customer = ranked["customer_key"].to_numpy()
    start, end = np.searchsorted(customer, keys), np.searchsorted(customer, keys, side="right")
    rows = [np.arange(a, b) for a, b in zip(start, end, strict=True)]
    return ranked.take(np.concatenate([np.empty(0, np.int64), *rows]))


def fit(
    order_lines: ir.Table,
    as_of: datetime,
    time_zone: str,
    never: Collection[str] = (),
    seed: int = 0,
    links: Links | None = None,
) -> FittedProducts:
    """Learn from the orders that had happened before ``as_of`` and were known by then.

    Args:
        order_lines: canonical, see :mod:`events.schema`.
        as_of: with a time zone.
        time_zone: the shop's.
        never: products that are no merchandise, such as postage.
        links: computes the links of products; fits that share it compute those of the same moments once.

    Raises:
        PatronError: there are no baskets, fewer than two products, or too little history.
    """
    versions = read(order_lines, as_of, time_zone, never)
    purchases = versions.latest()
    if len(purchases.product_ids) < 2:
        raise PatronError(
            f"the orders before {as_of:%Y-%m-%d} have one product, so there is nothing to rank;"
            " import orders with a column of products"
        )
    links = links or Links()
    booster = learn(examples(versions, links, seed))
    seen = histories(purchases)
    goods = counted(assortment(purchases, seen, links), purchases)
    return FittedProducts(as_of, purchases.product_ids, purchases.category, seen, goods, booster)
