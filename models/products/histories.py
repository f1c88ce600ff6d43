"""The purchase history of customers: one row per customer and product, and one per customer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from models.estimator import Array
from models.products.purchases import Ints, Purchases
from models.products.sparse import matrix

HALF_LIFE_DAYS = 180  # of a purchase's weight in ``recent_times``


@dataclass(frozen=True)
class Buyers:
    """One row per customer who has bought, by key.

    Attributes:
        baskets: the number of baskets.
        items: the number of products over all baskets, each counted once per basket.
        first_days_ago, last_days_ago: days of the shop since the first and the last basket.
    """

    customer_key: Ints
    baskets: Ints
    items: Ints
    first_days_ago: Ints
    last_days_ago: Ints


@dataclass(frozen=True)
class Bought:
    """One row per customer and product, by customer and then product.

    Attributes:
        customer: the position in :class:`Buyers`.
        product: the position among the shop's products.
        times: baskets of the customer with the product.
        days_ago: days of the shop since the last of them.
        baskets_since: baskets of the customer after the last of them.
        recent_times: baskets with the product, weighted by ``0.5 ** (age / HALF_LIFE_DAYS)``.
    """

    customer: Ints
    product: Ints
    times: Ints
    days_ago: Ints
    baskets_since: Ints
    recent_times: Array


@dataclass(frozen=True)
class Histories:
    """The customers, their purchases, and the number of the shop's products."""

    customers: Buyers
    bought: Bought
    products: int

    @cached_property
    def times(self) -> sp.csr_array:
        """Customers × products: baskets with the product."""
        return self._matrix(self.bought.times.astype(np.float64))

    @cached_property
    def recent_times(self) -> sp.csr_array:
        """Customers × products: ``Bought.recent_times``."""
        return self._matrix(self.bought.recent_times)

    @cached_property
    def weights(self) -> sp.csr_array:
        """Customers × products: the logarithm of 1 + ``recent_times``, from which the links are computed."""
        return self._matrix(np.log1p(self.bought.recent_times))

    def _matrix(self, values: Array) -> sp.csr_array:
        shape = (len(self.customers.customer_key), self.products)
        return matrix(self.bought.customer, self.bought.product, values, shape)

    @cached_property
    def place(self) -> Ints:
        """Each row of ``bought`` as an ascending number: customer × products + product."""
        return self.bought.customer * self.products + self.bought.product

    @cached_property
    def distinct(self) -> Ints:
        """The number of different products bought, per customer."""
        return np.bincount(self.bought.customer, minlength=len(self.customers.customer_key))

    def rows(self, customer: Ints, product: Ints) -> Ints:
        """The row of ``bought`` for each customer and product, −1 if it was not bought."""
        wanted = customer * self.products + product
        row = np.minimum(np.searchsorted(self.place, wanted), len(self.place) - 1)
        return np.where(self.place[row] == wanted, row, -1)


def histories(purchases: Purchases) -> Histories:
    """The histories of all customers, as of the purchases' ``as_of``."""
    count = len(purchases.product_ids)
    who, customer = np.unique(purchases.customer, return_inverse=True)
    place, row, times = np.unique(
        customer * count + purchases.product, return_inverse=True, return_counts=True
    )
    last = np.zeros(len(place), np.int64)
    np.maximum.at(last, row, np.arange(len(row)))  # rows are sorted by time
    ordinal, baskets = _ordinals(customer, purchases.basket, len(who))
    days_ago = purchases.days_ago
    first_days, last_days = np.zeros(len(who), np.int64), np.full(len(who), np.iinfo(np.int64).max)
    np.maximum.at(first_days, customer, days_ago)
    np.minimum.at(last_days, customer, days_ago)
    recent_times = np.zeros(len(place))
    np.add.at(recent_times, row, np.exp2(-days_ago / HALF_LIFE_DAYS))
    bought = Bought(
        customer=place // count,
        product=place % count,
        times=times,
        days_ago=days_ago[last],
        baskets_since=baskets[place // count] - 1 - ordinal[last],
        recent_times=recent_times,
    )
    customers = Buyers(
        customer_key=purchases.customer_keys[who],
        baskets=baskets,
        items=np.bincount(customer, minlength=len(who)),
        first_days_ago=first_days,
        last_days_ago=last_days,
    )
    return Histories(customers, bought, count)


def _ordinals(customer: Ints, basket: Ints, customers: int) -> tuple[Ints, Ints]:
    """Per row the position (from 0) of its basket among its customer's, and per customer the number of
    baskets.
    """
    numbers, first, row = np.unique(basket, return_index=True, return_inverse=True)
    owner = customer[first]
    by_owner = np.lexsort((numbers, owner))
    baskets = np.bincount(owner, minlength=customers)
    start = np.cumsum(baskets) - baskets
    ordinal = np.empty(len(numbers), np.int64)
    ordinal[by_owner] = np.arange(len(numbers)) - start[owner[by_owner]]
    return ordinal[row], baskets


def as_table(rows: Buyers | Bought) -> pa.Table:
    """The rows as a table, a column per attribute."""
    return pa.table({field.name: getattr(rows, field.name) for field in fields(rows)})
