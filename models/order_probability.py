"""Money in two parts: the probability of any order that is kept, and the amount if there is one.

The probability of net revenue above 0 is estimated on the rows of the money. The amount is the money divided
by it, so the two parts always multiply to the money.

The amount is never above the largest training outcome of customers with as much expected money or less.
Where a probability near 0 would make it so, the probability is money / that outcome instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.estimators.line import rounded
from models.estimators.opening import open_fitted
from models.spec import Array, Fitted

PREFIX = "order_probability."  # of its files in a bundle
BOUNDS_FILE = PREFIX + "bounds.json"
RANGES = 10
MIN_PROBABILITY = 1e-6


@dataclass(frozen=True)
class OrderProbability:
    """A fitted probability of any order, and the largest amounts.

    Attributes:
        fitted: estimates the probability from the matrix of the money's model.
        edges: the boundaries between ranges of expected money, ascending, in currency.
        largest: per range the largest amount, in currency.
    """

    fitted: Fitted
    edges: tuple[float, ...]
    largest: tuple[float, ...]

    def parts(self, x: Array, money: Array) -> tuple[Array, Array]:
        """The probability of an order and the amount if there is one, of each row.

        Args:
            money: the expected money of each row, at least 0, in currency.
        """
        edges, largest = self._arrays
        least = money / largest[edges.searchsorted(money, side="right")]
        probability = np.minimum(np.maximum(self.fitted.predict(x), least), 1.0)
        probability = np.maximum(probability, MIN_PROBABILITY)
        return probability, money / probability

    @cached_property
    def _arrays(self) -> tuple[Array, Array]:
        return np.array(self.edges), np.array(self.largest)

    def to_files(self) -> dict[str, bytes]:
        """All files needed to load it again, by name."""
        bounds = {"edges": self.edges, "largest": self.largest}
        files = {PREFIX + name: content for name, content in self.fitted.to_files().items()}
        return files | {BOUNDS_FILE: json.dumps(bounds, indent=2).encode()}


def open_order_probability(files: Mapping[str, bytes]) -> OrderProbability | None:
    """The order probability in the files of a bundle; None if they have none."""
    if BOUNDS_FILE not in files:
        return None
    own = {name.removeprefix(PREFIX): content for name, content in files.items() if name.startswith(PREFIX)}
    bounds = json.loads(own["bounds.json"])
    return OrderProbability(open_fitted(own), tuple(bounds["edges"]), tuple(bounds["largest"]))


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
