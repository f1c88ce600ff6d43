"""Money in two parts: the probability of any order that is kept, and the amount if there is one.

The probability of net revenue above 0 is estimated on the rows of the money. The amount is the money divided
by it, so the two parts always multiply to the money.

Where an order is more probable than 1 − :data:`OUTSIDE`, the lower bound of the money is above 0. It and the
upper bound come from the ratios of outcome to amount of held-out customers who ordered; half of the outcomes
outside lie on either side.

The amount is never above the largest training outcome of customers with as much expected money or less.
Where a probability near 0 would make it so, the probability is money / that outcome instead.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from models.estimator import Array, Fitted
from models.estimators.intervals import LEVEL, doubt
from models.estimators.line import rounded
from models.estimators.opening import open_fitted

PREFIX = "order_probability."  # of its files in a bundle
BOUNDS_FILE = PREFIX + "bounds.json"
RANGES = 10
OUTSIDE = (1 - LEVEL) / 2  # share of outcomes below the interval, and above it
LEVELS = 11
REGULAR = 0.8  # probability from which customers show the ratios of almost certain orders
FEWEST_REGULAR = 100
MIN_PROBABILITY = 1e-6


@dataclass(frozen=True)
class OrderProbability:
    """A fitted probability of any order, and the largest amounts.

    Attributes:
        fitted: estimates the probability from the matrix of the money's model.
        edges: the boundaries between ranges of expected money, ascending, in currency.
        largest: per range the largest amount, in currency.
        low_ratios: quantiles of outcome / amount of regular customers who ordered, at evenly spaced levels
            from 0 to :data:`OUTSIDE`; empty if they were not learnt. high_ratio: that at 1 − :data:`OUTSIDE`.
    """

    fitted: Fitted
    edges: tuple[float, ...]
    largest: tuple[float, ...]
    low_ratios: tuple[float, ...] = ()
    high_ratio: float = 1.0

    def parts(self, x: Array, money: Array) -> tuple[Array, Array]:
        """The probability of an order and the amount if there is one, of each row.

        Args:
            money: the expected money of each row, at least 0, in currency.
        """
        return self._parts(self.fitted.predict(x), money)

    def _parts(self, probability: Array, money: Array) -> tuple[Array, Array]:
        edges, largest = self._arrays
        least = money / largest[edges.searchsorted(money, side="right")]
        probability = np.minimum(np.maximum(probability, least), 1.0)
        probability = np.maximum(probability, MIN_PROBABILITY)
        return probability, money / probability

    def parts_of_row(self, row: Array, money: float) -> tuple[float, float]:
        """The same parts, to the last bit, of a single row with an amount that is a number."""
        least = money / self.largest[bisect_right(self.edges, money)]
        probability = min(max(self.fitted.predict_row(row), least), 1.0)
        probability = max(probability, MIN_PROBABILITY)
        return probability, money / probability

    def with_ratios(self, probability: Array, money: Array, outcome: Array, sd: float) -> OrderProbability:
        """With the ratios of regular customers who ordered; unchanged if they are fewer than
        :data:`FEWEST_REGULAR`.

        Args:
            probability, money, outcome: of held-out rows, predicted at the actual totals.
            sd: the standard deviation of the logarithm of the money's level.
        """
        probability, amount = self._parts(probability, money)
        regular = (probability >= REGULAR) & (outcome > 0)
        count = int(regular.sum())
        if count < FEWEST_REGULAR:
            return self
        ratios = np.outer(doubt(sd), outcome[regular] / amount[regular]).ravel()
        low = np.quantile(ratios, np.linspace(0, OUTSIDE, LEVELS), method="inverted_cdf")
        # The conformal quantile among n ratios is the one of rank (n + 1) × level.
        high = np.quantile(ratios, min(1.0, (1 - OUTSIDE) * (count + 1) / count), method="inverted_cdf")
        return replace(self, low_ratios=tuple(map(rounded, low)), high_ratio=rounded(high))

    def bounds(self, bounds: tuple[Array, Array], parts: tuple[Array, Array]) -> tuple[Array, Array]:
        """The interval of the money, given that of :class:`models.estimators.intervals.Intervals`.

        The lower bound is exceeded with the probability 1 − :data:`OUTSIDE`: with (P − 1 + OUTSIDE) / P among
        those who order, which happens with the probability P.

        Args:
            parts: see :meth:`parts`.
        """
        (low, high), (probability, amount) = bounds, parts
        certain = probability > 1 - OUTSIDE
        if not self.low_ratios or not certain.any():
            return bounds
        level = (probability - (1 - OUTSIDE)) / probability
        grid = np.linspace(0, OUTSIDE, len(self.low_ratios))
        ratio = np.where(certain, np.interp(level, grid, self.low_ratios), 0.0)
        own_high = np.where(certain, self.high_ratio * amount, 0.0)
        return np.maximum(low, ratio * amount), np.maximum(high, own_high)

    def bounds_of_one(self, bounds: tuple[float, float], parts: tuple[float, float]) -> tuple[float, float]:
        """The same interval of a single amount."""
        if not self.low_ratios or parts[0] <= 1 - OUTSIDE:
            return bounds
        low, high = self.bounds(_as_arrays(bounds), _as_arrays(parts))
        return float(low[0]), float(high[0])

    @cached_property
    def _arrays(self) -> tuple[Array, Array]:
        return np.array(self.edges), np.array(self.largest)

    def to_files(self) -> dict[str, bytes]:
        """All files needed to load it again, by name."""
        bounds: dict[str, Any] = {"edges": self.edges, "largest": self.largest}
        if self.low_ratios:
            bounds |= {"low_ratios": self.low_ratios, "high_ratio": self.high_ratio}
        files = {PREFIX + name: content for name, content in self.fitted.to_files().items()}
        return files | {BOUNDS_FILE: json.dumps(bounds, indent=2).encode()}


def _as_arrays(pair: tuple[float, float]) -> tuple[Array, Array]:
    return np.array(pair[:1]), np.array(pair[1:])


def open_order_probability(files: Mapping[str, bytes]) -> OrderProbability | None:
    """The order probability in the files of a bundle; None if they have none."""
    if BOUNDS_FILE not in files:
        return None
    own = {name.removeprefix(PREFIX): content for name, content in files.items() if name.startswith(PREFIX)}
    bounds = json.loads(own["bounds.json"])
    return OrderProbability(
        open_fitted(own),
        tuple(bounds["edges"]),
        tuple(bounds["largest"]),
        tuple(bounds.get("low_ratios", ())),
        bounds.get("high_ratio", 1.0),
    )


def bounded(fitted: Fitted, money: Array, outcome: Array) -> OrderProbability:
    """A fitted probability with the largest amounts of training rows.

    Args:
        money: the expected money of each row, in currency.
        outcome: its actual money, with outliers winsorized; some are above 0.
    """
    edges = np.unique(np.quantile(money, np.linspace(0, 1, RANGES + 1)[1:-1]))
    here = edges.searchsorted(money, side="right")
    largest = np.array([outcome[here == i].max(initial=0.0) for i in range(len(edges) + 1)])
    largest = np.maximum.accumulate(largest)
    largest = np.where(largest > 0, largest, largest[largest > 0][0])
    return OrderProbability(fitted, tuple(map(rounded, edges)), tuple(map(rounded, largest)))
