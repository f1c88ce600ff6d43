"""The candidates for a customer's next purchase, with the columns that the ranking reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array
from models.products.assortment import WINDOWS_DAYS, Assortment
from models.products.histories import Histories
from models.products.purchases import NO_CATEGORY, Ints
from models.products.sparse import at, largest, rows_of

OWN = 300  # candidates per customer that were bought before, the most recent and frequent ones
RELATED = 150  # candidates per customer that are linked to purchases
POPULAR = 60
POPULARITY = tuple(f"popularity_{days}d" for days in WINDOWS_DAYS)
COLUMNS = (
    "times", "share_of_baskets", "days_ago", "baskets_since", "recent_times", "gaps_since",
    "links", *POPULARITY, "trend", "repeat_share", "product_first_days_ago",
    "product_last_days_ago", "category_share", "customer_baskets", "customer_basket_size",
    "customer_days_ago", "customer_products", "customer_repeat_share",
)  # fmt: skip
TIMES = COLUMNS.index("times")
Numbers = NDArray[Any]


@dataclass(frozen=True)
class Candidates:
    """One row per customer and product.

    Attributes:
        customer: the position in the histories.
        product: the position among the shop's products.
        x: a column per name of ``COLUMNS``; NaN if not applicable.
    """

    customer: Ints
    product: Ints
    x: NDArray[np.float32]

    def rows(self, chosen: NDArray[np.bool_]) -> Candidates:
        """Only the chosen rows."""
        return Candidates(self.customer[chosen], self.product[chosen], self.x[chosen])

    @property
    def bought(self) -> NDArray[np.bool_]:
        """Whether the customer has bought the product before."""
        result: NDArray[np.bool_] = self.x[:, TIMES] > 0
        return result


def candidates(who: Ints, histories: Histories, goods: Assortment, category: Ints) -> Candidates:
    """The candidates of some customers, by customer and then product.

    They are products bought before, products linked to those, and popular products.

    Args:
        who: positions in the histories, ascending.
        category: of each product, ``NO_CATEGORY`` if it has none.
    """
    count = histories.products
    recent = histories.recent_times[who]
    linked = (histories.weights[who] @ goods.links).tocsr()
    popular = np.argsort(-goods.popularity[1], kind="stable")[:POPULAR]
    popular = popular[goods.popularity[1, popular] > 0]
    related = (largest(recent, OWN), largest(linked, RELATED))
    places = [rows_of(values) * count + values.indices for values in related]
    places.append((np.arange(len(who))[:, None] * count + popular).ravel())
    row, product = np.divmod(np.unique(np.concatenate(places)), count)
    columns = {
        **_own(who[row], product, histories),
        "links": at(linked, row, product),
        **_of_product(product, goods),
        "category_share": _category_shares(histories, category, who)[row, category[product]],
        **_of_customer(who[row], histories),
    }
    x = np.stack([columns[name].astype(np.float32) for name in COLUMNS], axis=1)
    return Candidates(who[row], product, x)


def _own(customer: Ints, product: Ints, histories: Histories) -> dict[str, Numbers]:
    """The customer's purchases of the product; without any, counts are 0 and other values are missing."""
    everyone, bought = histories.customers, histories.bought
    row = histories.rows(customer, product)
    bought_before = row >= 0
    times = np.where(bought_before, bought.times[row], 0)
    days_ago = np.where(bought_before, bought.days_ago[row], np.nan)
    baskets = everyone.baskets[customer]
    between = (everyone.first_days_ago - everyone.last_days_ago)[customer] / np.maximum(1, baskets - 1)
    return {
        "times": times,
        "share_of_baskets": times / baskets,
        "days_ago": days_ago,
        "baskets_since": np.where(bought_before, bought.baskets_since[row], np.nan),
        "recent_times": np.where(bought_before, bought.recent_times[row], 0),
        "gaps_since": np.where(baskets > 1, days_ago / np.maximum(1, between), np.nan),
    }


def _of_product(product: Ints, goods: Assortment) -> dict[str, Numbers]:
    month, quarter, year = goods.popularity[:, product]
    return {
        **dict(zip(POPULARITY, (month, quarter, year), strict=True)),
        "trend": month / np.maximum(year, 1e-6),
        "repeat_share": goods.repeat_share[product],
        "product_first_days_ago": goods.first_days_ago[product],
        "product_last_days_ago": goods.last_days_ago[product],
    }


def _of_customer(customer: Ints, histories: Histories) -> dict[str, Numbers]:
    everyone, products = histories.customers, histories.distinct
    return {
        "customer_baskets": everyone.baskets[customer],
        "customer_basket_size": (everyone.items / everyone.baskets)[customer],
        "customer_days_ago": everyone.last_days_ago[customer],
        "customer_products": products[customer],
        "customer_repeat_share": (1 - products / everyone.items)[customer],
    }


def _category_shares(histories: Histories, category: Ints, who: Ints) -> Array:
    """Customers × categories: the share of purchases per category; the last column is for those
    without one.
    """
    kinds = int(category.max(initial=NO_CATEGORY)) + 2
    times = histories.times[who]
    place = rows_of(times) * kinds + category[times.indices] % kinds
    totals = np.bincount(place, weights=times.data, minlength=len(who) * kinds).reshape(len(who), kinds)
    shares: Array = totals / totals.sum(axis=1, keepdims=True)
    return shares
