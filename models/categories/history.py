"""The order history of customers per category as of a moment, and the rows that the model reads.

There is one model for all categories. A row is a customer and a category, with the customer's behaviour in
the category, all customers' behaviour in it, and the customer's behaviour overall. Rare categories thus
benefit from common ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from events.queries.customer_rows import Keys, of_customers
from models.estimator import Array

KEYS = ["customer_key", "category"]
# The columns of a row besides its keys, with their units. Days are the shop's; windows end at as_of.
# Shares are per mille, so that a regression on log(1 + amount) reads nearly their logarithms.
UNITS = {
    "category": "category",
    "orders_in_category": "orders",
    "orders_in_category_365d": "orders",
    "orders_in_category_90d": "orders",
    "days_since_category": "days",
    "share_of_orders_in_category": "per mille",
    "share_of_orders_fading": "per mille",
    "share_of_lines_in_category": "per mille",
    "spend_share_in_category": "per mille",
    "category_popularity_90d": "per mille",
    "category_popularity_30d": "per mille",
    "category_popularity_year_ago": "per mille",
    "orders_total": "orders",
    "orders_365d": "orders",
    "orders_90d": "orders",
    "orders_fading": "orders",
    "recency_days": "days",
    "tenure_days": "days",
    "distinct_categories": "categories",
}
FADING_DAYS = 180  # the half-life of an order's weight
SEASON_DAYS = 30  # of the previous year, from as_of's day on
MIN_SEASON_ORDERS = 50  # with fewer, the last 90 days are used instead
LINES_DRAWN = 3
"""The weight, in lines, of the shares of all customers in a customer's smoothed share."""
_OF_CUSTOMER = {
    "orders": "orders_total", "orders_365d": "orders_365d", "orders_90d": "orders_90d",
    "fading": "orders_fading", "latest": "recency_days",
    "earliest": "tenure_days",
}  # fmt: skip
_OF_PAIR = {
    "orders": "orders_in_category", "orders_365d": "orders_in_category_365d",
    "orders_90d": "orders_in_category_90d", "fading": "fading",
    "latest": "days_since_category",
}  # fmt: skip
"""The names of the counts of orders, for a customer and for a customer's category."""


@dataclass(frozen=True)
class AsOf:
    """A moment, and the shop's day on which it falls (days since 1970-01-01)."""

    as_of: datetime
    day: int


@dataclass(frozen=True)
class CategoryHistory:
    """The history of customers as of a moment.

    Attributes:
        customers: a row per customer who had ordered, sorted by ``customer_key``.
        pairs: a row per customer and category ordered from, sorted by both.
        categories: a row per category, sorted by name.
    """

    customers: pd.DataFrame
    pairs: pd.DataFrame
    categories: pd.DataFrame

    @property
    def keys(self) -> Array:
        """The customers who had ordered, in ascending order."""
        keys: Array = self.customers["customer_key"].to_numpy()
        return keys

    def has_ordered(self, keys: Sequence[int] | Keys) -> NDArray[np.bool_]:
        """Whether each customer had ordered."""
        known, wanted = self.keys, np.asarray(keys, np.int64)
        places = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
        matches: NDArray[np.bool_] = known[places] == wanted if len(known) else np.zeros(len(wanted), bool)
        return matches

    @cached_property
    def usual_spend(self) -> pd.Series:
        """What an order of a category brings from it on average, in currency, by category."""
        totals = self.pairs.groupby("category")[["spend", "orders_in_category"]].sum()
        return totals["spend"] / totals["orders_in_category"]

    def rows(
        self, keys: Iterable[int] | None = None, categories: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Customers with categories, each pair once, by customer and category.

        Args:
            keys: the customers; those who had not ordered are skipped. All by default.
            categories: all by default.

        Returns:
            ``customer_key`` and the columns of ``UNITS``.
        """
        customers, goods, own = self.customers, self.categories, self.pairs
        if keys is not None:
            wanted = np.unique(np.fromiter(keys, np.int64))
            customers, own = of_customers(customers, wanted), of_customers(own, wanted)
        if categories is not None:
            goods = goods[goods["category"].isin(list(categories))]
        frame = customers.merge(goods, how="cross").merge(own, how="left", on=KEYS)
        none = own.columns.difference([*KEYS, "days_since_category"])
        frame[none] = frame[none].fillna(0.0)
        rows = _with_shares(frame)[["customer_key", *UNITS]]
        shares = [name for name, unit in UNITS.items() if unit == "per mille"]
        return rows.assign(**(rows[shares] * 1000))


def _with_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """A customer's shares per category, smoothed towards the usual ones, with the weight of an order or of
    lines.
    """
    usual, spend = frame["category_popularity_90d"], frame["spend_total"]
    drawn_lines = frame["lines"] + LINES_DRAWN * frame["share_of_all_lines"]
    shares = {
        "share_of_orders_in_category": (frame["orders_in_category"] + usual) / (frame["orders_total"] + 1),
        "share_of_orders_fading": (frame["fading"] + usual) / (frame["orders_fading"] + 1),
        "share_of_lines_in_category": drawn_lines / (frame["lines_total"] + LINES_DRAWN),
        "spend_share_in_category": (frame["spend"] / spend.where(spend > 0)).fillna(0.0),
    }
    return frame.assign(**shares)


def history(baskets: pd.DataFrame, as_of: AsOf) -> CategoryHistory:
    """The history as of a moment.

    Args:
        baskets: the orders per category: ``customer_key``, ``timestamp`` and ``received_at`` (UTC,
            without zone), ``day``, ``order_id``, ``category`` (may be missing), ``lines`` and ``amount`` in
            currency; and, where orders have several versions, ``replaced_at`` (UTC, without zone). Orders
            that were not known or not valid at the moment count for nothing.
    """
    known = latest(known_at(baskets, as_of.as_of))
    known = known.assign(days_ago=as_of.day - known["day"])
    orders = known.groupby(["customer_key", "order_id"], as_index=False).agg(days_ago=("days_ago", "min"))
    named = known[known["category"].notna()].groupby([*KEYS, "order_id"], as_index=False)
    parts = named.agg(days_ago=("days_ago", "min"), lines=("lines", "sum"), spend=("amount", "sum"))
    customers = _counts(orders, ["customer_key"], _OF_CUSTOMER)
    pairs = _counts(parts, KEYS, _OF_PAIR)
    goods = parts.groupby(KEYS)[["lines", "spend"]].sum().to_numpy(np.float64)
    pairs = pairs.assign(lines=goods[:, 0], spend=goods[:, 1])
    own = pairs.groupby("customer_key").agg(
        lines_total=("lines", "sum"), spend_total=("spend", "sum"), distinct_categories=("category", "size")
    )
    customers = customers.join(own, on="customer_key").fillna(dict.fromkeys(own.columns, 0.0))
    return CategoryHistory(customers, pairs, _popularity(orders, parts))


def _counts(orders: pd.DataFrame, by: list[str], called: Mapping[str, str]) -> pd.DataFrame:
    """Numbers of orders so far, in two windows and with fading, and the days since the latest and the
    earliest.
    """
    ago = orders["days_ago"]
    frame = orders.assign(
        orders=1, orders_365d=ago <= 365, orders_90d=ago <= 90, fading=0.5 ** (ago / FADING_DAYS)
    )
    grouped = frame.groupby(by)
    counts = grouped[["orders", "orders_365d", "orders_90d", "fading"]].sum()
    counts["latest"], counts["earliest"] = grouped["days_ago"].min(), grouped["days_ago"].max()
    return counts[[*called]].rename(columns=dict(called)).reset_index()


def _popularity(orders: pd.DataFrame, parts: pd.DataFrame) -> pd.DataFrame:
    """Per category the share of orders that contain it: lately, and in the same season a year ago."""
    names = pd.Index(sorted(parts["category"].unique()), name="category")

    def share(low: int, high: int) -> pd.Series[float]:
        count = int(orders["days_ago"].between(low, high).sum())
        holding = parts[parts["days_ago"].between(low, high)].groupby("category").size()
        return holding.reindex(names, fill_value=0) / max(count, 1)

    season = (365 - SEASON_DAYS + 1, 365)
    enough = int(orders["days_ago"].between(*season).sum()) >= MIN_SEASON_ORDERS
    lines = parts.groupby("category")["lines"].sum().reindex(names)
    return pd.DataFrame(
        {
            "category_popularity_90d": share(0, 90),
            "category_popularity_30d": share(0, 30),
            "category_popularity_year_ago": share(*(season if enough else (0, 90))),
            "share_of_all_lines": lines / max(float(lines.sum()), 1.0),
        },
        index=names,
    ).reset_index()


def known_at(baskets: pd.DataFrame, moment: datetime) -> pd.DataFrame:
    """The orders placed before a moment and known by then, in all versions of that time."""
    cut = _naive(moment)
    known = baskets[(baskets["timestamp"] < cut) & (baskets["received_at"] <= cut)]
    if "replaced_at" not in known:
        return known
    return known.assign(replaced_at=known["replaced_at"].where(known["replaced_at"] <= cut))


def latest(baskets: pd.DataFrame) -> pd.DataFrame:
    """Only the latest version of each order."""
    return baskets[baskets["replaced_at"].isna()] if "replaced_at" in baskets else baskets


def _naive(moment: datetime) -> pd.Timestamp:
    return pd.Timestamp(moment).tz_convert("UTC").tz_localize(None)


def ordered_within(baskets: pd.DataFrame, as_of: AsOf, pairs: pd.DataFrame, days: int) -> Array:
    """1 for pairs of customer and category with an order in the ``days`` days from a moment on, else 0.

    Orders count in their latest version.

    Args:
        baskets: as :func:`history` reads them. pairs: ``customer_key`` and ``category``.
    """
    baskets = latest(baskets)
    later = baskets[(baskets["timestamp"] >= _naive(as_of.as_of)) & (baskets["day"] - as_of.day < days)]
    ordered = pd.MultiIndex.from_frame(later.loc[later["category"].notna(), KEYS])
    return pd.MultiIndex.from_frame(pairs[KEYS]).isin(ordered).astype(np.float64)


def habit(frame: pd.DataFrame) -> Array:
    """The baseline: the customer's number of orders in a year times the category's share of them.

    Customers without an order in that year count as having a tenth of one, so that their categories are
    ranked.
    """
    orders = frame["orders_365d"].clip(lower=0.1)
    expected: Array = (frame["share_of_orders_in_category"] * orders).to_numpy(np.float64)
    return expected
