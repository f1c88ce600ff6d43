"""The day of the next order, by the shop's ordering rates or by the customer's own rhythm.

While active, customers order as Poisson processes, with rates that are Gamma(r, rate alpha) over customers:
the rates of BG/NBD (:mod:`models.btyd.bg_nbd`). Of those who order within a time, half have done so by a day
that does not depend on dropout, since a customer who orders has not dropped out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from features.groups.purchases import median_gap_days, orders_total, recency_days, tenure_days
from features.groups.segment_rules import LAPSED_AFTER_DAYS
from models.estimator import Array

HORIZON_DAYS = LAPSED_AFTER_DAYS
MIN_ORDERS = 3  # a rhythm needs at least two gaps
KEY = "next_order"  # in a manifest
HABITS = (orders_total, recency_days, tenure_days, median_gap_days)


@dataclass(frozen=True)
class Rates:
    """The distribution of a shop's ordering rates.

    Attributes:
        r, alpha: shape and rate of the rates over customers; alpha is in days.
    """

    r: float
    alpha: float

    def wait(self, orders: ArrayLike, recency_days: ArrayLike, tenure_days: ArrayLike) -> Array:
        """Whole days from now in which half of the customers who order within ``HORIZON_DAYS`` have ordered.

        A customer's rate is Gamma(r + x, rate alpha + T) given x repeat orders in T days, and the wait has
        Lomax's distribution: no order within t has the probability ((alpha + T) / (alpha + T + t))^(r + x).

        Args:
            orders, recency_days, tenure_days: the features with these names, of customers who have ordered.
        """
        shape = self.r + repeats(orders, recency_days, tenure_days)
        scale = self.alpha + np.asarray(tenure_days, np.float64)
        ordered = -np.expm1(-shape * np.log1p(HORIZON_DAYS / scale))
        days: Array = np.floor(scale * np.expm1(-np.log1p(-ordered / 2) / shape))
        return days

    def as_dict(self) -> dict[str, Any]:
        """The rates as part of a manifest."""
        return asdict(self)


def rates_of(manifest: Mapping[str, Any]) -> Rates | None:
    """The rates in the manifest of a version of propensity; None if it has none."""
    return Rates(**manifest[KEY]) if manifest.get(KEY) else None


def repeats(orders: ArrayLike, recency_days: ArrayLike, tenure_days: ArrayLike) -> Array:
    """Orders after the first, at most one per day: the number is capped by the days from the first to the
    latest.
    """
    later = np.asarray(orders, np.float64) - 1
    return np.minimum(later, np.asarray(tenure_days, np.float64) - np.asarray(recency_days, np.float64))


def own_rhythm(orders: ArrayLike, recency_days: ArrayLike, median_gap_days: ArrayLike) -> Array:
    """Whole days from now to the latest order plus the median gap; below 0 if that day is past.
    NaN for customers with fewer than ``MIN_ORDERS`` orders.
    """
    gap = np.round(np.asarray(median_gap_days, np.float64))
    return np.where(np.asarray(orders) >= MIN_ORDERS, gap - np.asarray(recency_days, np.float64), np.nan)
