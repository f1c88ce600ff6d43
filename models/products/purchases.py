"""Purchases as arrays, one row per basket and product; rules and rankings are computed from them.

A basket is an order of a customer; each product of it counts once, whatever its quantity.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ibis import _
from numpy.typing import NDArray

from core.calendar import day_of, micros
from core.errors import PatronError

Ints = NDArray[np.int64]
NO_CATEGORY = -1
NEVER = np.iinfo(np.int64).max
"""When a row is replaced that no later version of its order replaces."""


@dataclass(frozen=True)
class Purchases:
    """One row per product of a basket, the oldest basket first; customers, products and baskets as positions.

    Attributes:
        customer_keys, product_ids, categories: the values at the positions; sorted, without duplicates.
        category: per product the position of its category, ``NO_CATEGORY`` if it has none.
        customer, product, basket: of each row. Baskets are numbered by time.
        day: of each row, the shop's day of its basket, as days since 1970-01-01.
        known_us: of each row, the first moment at which it was visible, in microseconds since 1970-01-01 UTC.
        replaced_us: of each row, the moment since which another version of its order is known, or ``NEVER``.
        as_of_day: the shop's day of ``as_of``.
        time_zone: the shop's.
    """

    customer_keys: Ints
    product_ids: tuple[str, ...]
    categories: tuple[str, ...]
    category: Ints
    customer: Ints
    product: Ints
    basket: Ints
    day: Ints
    known_us: Ints
    replaced_us: Ints
    as_of_day: int
    time_zone: str

    @property
    def days_ago(self) -> Ints:
        """Days of the shop from each row to ``as_of``."""
        return self.as_of_day - self.day

    def rows(self, chosen: NDArray[np.bool_]) -> Purchases:
        """The chosen rows; positions keep their meaning."""
        named = ("customer", "product", "basket", "day", "known_us", "replaced_us")
        return replace(self, **{name: getattr(self, name)[chosen] for name in named})

    def known_at(self, moment: datetime) -> Purchases:
        """The purchases before ``moment``, as known and as of that moment."""
        known = self.rows((self.known_us <= micros(moment)) & (self.replaced_us > micros(moment)))
        return replace(known, as_of_day=day_of(moment, self.time_zone))

    def latest(self) -> Purchases:
        """Only the latest version of each order, and only its customers and products."""
        if (self.replaced_us == NEVER).all():
            return self
        rows = self.rows(self.replaced_us == NEVER)
        customers, customer = np.unique(rows.customer, return_inverse=True)
        products, product = np.unique(rows.product, return_inverse=True)
        return replace(
            rows,
            customer_keys=self.customer_keys[customers], customer=customer,
            product_ids=tuple(self.product_ids[place] for place in products), product=product,
            category=self.category[products],
        )  # fmt: skip

    def within_baskets_of(self, largest: int) -> Purchases:
        """The baskets of at most ``largest`` products."""
        sizes = np.bincount(self.basket, minlength=int(self.basket.max(initial=-1)) + 1)
        return self.rows(sizes[self.basket] <= largest)

    def first_baskets(self, since_day: int, until_day: int) -> Purchases:
        """Each customer's first basket from ``since_day`` on and before ``until_day``, as it is known now."""
        later = self.rows((self.day >= since_day) & (self.day < until_day) & (self.replaced_us == NEVER))
        first = np.full(len(self.customer_keys), np.iinfo(np.int64).max)
        np.minimum.at(first, later.customer, later.basket)
        return later.rows(later.basket == first[later.customer])


def read(order_lines: ir.Table, as_of: datetime, time_zone: str, never: Collection[str] = ()) -> Purchases:
    """Read the purchases that happened before ``as_of`` and were known by then, in all versions of orders.

    Args:
        order_lines: canonical, see :mod:`events.schema`; with ``replaced_at`` or without.
        as_of: with a time zone.
        time_zone: the shop's, for its days.
        never: products that are not merchandise, such as postage; they are left out.

    Raises:
        PatronError: no order known by then names a product.
    """
    cut = ibis.literal(as_of.astimezone(UTC).replace(tzinfo=None), "timestamp(6)")
    lines = order_lines.filter(order_lines.timestamp < cut, order_lines.received_at <= cut)
    lines = lines.filter(lines.product_id.notnull())
    never_replaced = ibis.null("timestamp(6)")
    if "replaced_at" in lines.columns:
        lines = lines.mutate(replaced_at=(lines.replaced_at <= cut).ifelse(lines.replaced_at, never_replaced))
    else:
        lines = lines.mutate(replaced_at=never_replaced)
    if never:
        lines = lines.filter(lines.product_id.notin(sorted(never)))
    rows = _one_per_product(lines).to_pyarrow()
    if rows["replaced_at"].null_count == 0:
        raise PatronError(
            f"no order before {as_of:%Y-%m-%d} names a product; import orders with a column of products"
        )
    keys, customer = np.unique(rows["customer_key"].to_numpy(), return_inverse=True)
    product_ids, product = _coded(rows["product_id"])
    latest = _latest_categories(lines).to_pyarrow()
    categories, category = _coded(latest["category"])
    of_product = np.full(len(product_ids), NO_CATEGORY, np.int64)
    of_product[pc.index_in(latest["product_id"], pa.array(product_ids)).to_numpy()] = category
    return Purchases(
        customer_keys=keys, product_ids=product_ids, categories=categories, category=of_product,
        customer=customer, product=product, basket=rows["basket"].to_numpy(),
        day=rows["day"].to_numpy().astype(np.int64),
        known_us=rows["known_at"].cast(pa.int64()).to_numpy(),
        replaced_us=rows["replaced_at"].cast(pa.int64()).fill_null(NEVER).to_numpy(),
        as_of_day=day_of(as_of, time_zone), time_zone=time_zone,
    )  # fmt: skip


def _one_per_product(lines: ir.Table) -> ir.Table:
    """One row per customer, order, product and version of the order; baskets numbered by their time."""
    # An event is visible after its moment, not at it.
    known = ibis.greatest(lines.timestamp + ibis.interval(microseconds=1), lines.received_at)
    items = (
        lines.mutate(known_at=known)
        .group_by("customer_key", "order_id", "product_id", "replaced_at")
        .aggregate(timestamp=_.timestamp.min(), day=_.day.min(), known_at=_.known_at.min())
    )
    order = ibis.window(group_by=("customer_key", "order_id"))
    items = items.mutate(timestamp=items.timestamp.min().over(order), day=items.day.min().over(order))
    by_time = ibis.window(order_by=("timestamp", "customer_key", "order_id"))
    return items.mutate(basket=ibis.dense_rank().over(by_time)).order_by("basket", "product_id", "known_at")


def _latest_categories(lines: ir.Table) -> ir.Table:
    """Each product's latest category, ties resolved by name; products without category are left out.

    Lines of current versions of orders take precedence.
    """
    categorised = lines.filter(lines.category.notnull())
    place = ibis.struct(
        {
            "current": categorised.replaced_at.isnull(),
            "timestamp": categorised.timestamp,
            "category": categorised.category,
        }
    )
    return categorised.group_by("product_id").aggregate(category=place.max()["category"])


def _coded(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Ints]:
    """The distinct values, sorted, and the position of each row's value among them."""
    values = sorted(column.unique().to_pylist())
    places = pc.index_in(column, pa.array(values, pa.string()))
    return tuple(values), places.to_numpy().astype(np.int64)
