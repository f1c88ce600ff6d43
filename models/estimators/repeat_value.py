"""Buy till you die as a part of a blend: expected purchases times what one is worth, from four features.

BG/NBD and gamma-gamma (:mod:`models.btyd`) read no labels: they are fitted to the customers of the latest
moment that is learnt from, and answer for whatever time is ahead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import factorial
from typing import Any

import numpy as np

from models.btyd.bg_nbd import BgNbd, fit_bg_nbd
from models.btyd.gamma_gamma import GammaGamma, fit_gamma_gamma
from models.next_order import repeats
from models.spec import Array

LEAST = 1e-6  # of money, so that it has a logarithm


@dataclass(frozen=True)
class RepeatValue:
    """Raw scores: the logarithm of the money expected within ``horizon_days``.

    Attributes:
        columns: of the matrix, those of :data:`models.estimators.candidates.HABITS`.
        start: their values in what explanations start from, the medians of what was learnt from.
    """

    columns: tuple[int, ...]
    horizon_days: int
    start: tuple[float, ...]
    purchases: BgNbd
    values: GammaGamma

    def raw(self, x: Array) -> Array:
        """The raw score of each row."""
        return self._raw(x[:, list(self.columns)])

    def _raw(self, habits: Array) -> Array:
        frequency, recency, age, value = _summary(habits)
        count = self.purchases.conditional_expected_purchases(self.horizon_days, frequency, recency, age)
        each = self.values.conditional_expected_average_value(frequency, value)
        found: Array = np.log(np.maximum(count * each, LEAST))
        return found

    def contributions(self, x: Array) -> Array:
        """What each column adds to the raw score of each row, and last what all start from.

        Shapley's values (Shapley, 1953) against the row of medians: the mean over all orders in which the
        columns could be told of what telling each of them changes. So they add up to the raw score.
        """
        habits, count = x[:, list(self.columns)], len(self.columns)
        told = {
            which: self._raw(np.where(which, habits, self.start))
            for which in product((False, True), repeat=count)
        }
        found = np.zeros((len(x), x.shape[1] + 1))
        for which, before in told.items():
            known = sum(which)
            weight = factorial(known) * factorial(max(count - known - 1, 0)) / factorial(count)
            for i in np.flatnonzero(~np.array(which)):
                after = told[(*which[:i], True, *which[i + 1 :])]
                found[:, self.columns[i]] += weight * (after - before)
        found[:, -1] = told[(False,) * count]
        return found

    @property
    def used(self) -> frozenset[int]:
        """The columns that it reads."""
        return frozenset(self.columns)

    def as_dict(self) -> dict[str, Any]:
        """It as JSON holds it, under ``repeat_value``."""
        held = {"columns": self.columns, "horizon_days": self.horizon_days, "start": self.start}
        models = {"purchases": self.purchases.parameters, "values": self.values.parameters}
        return {"repeat_value": held | models | {"cap": self.values.cap}}

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> RepeatValue:
        """Of what :meth:`as_dict` gave under ``repeat_value``."""
        return cls(
            tuple(held["columns"]), held["horizon_days"], tuple(held["start"]),
            BgNbd(**held["purchases"]), GammaGamma(**held["values"], cap=held["cap"]),
        )  # fmt: skip


def fit_repeat_value(x: Array, columns: Sequence[int], horizon_days: int) -> RepeatValue:
    """Fit both to customers, one row each, as of one moment.

    Raises:
        PatronError: too few of them bought again, or their orders are all worth the same.
    """
    habits = x[:, list(columns)]
    frequency, recency, age, value = _summary(habits)
    paid = value > 0
    return RepeatValue(
        tuple(columns),
        horizon_days,
        tuple(np.nan_to_num(np.nanmedian(habits, axis=0)).tolist()),
        fit_bg_nbd(frequency, recency, age),
        fit_gamma_gamma(frequency[paid], value[paid]),
    )


def _summary(habits: Array) -> tuple[Array, Array, Array, Array]:
    """Frequency, recency and T in days, and mean value, of the features; what is missing counts as 0."""
    orders, since, tenure, value = np.nan_to_num(habits).T
    age = np.maximum(tenure, since)
    frequency = np.floor(np.maximum(repeats(np.maximum(orders, 1), since, age), 0))
    recency = np.where(frequency > 0, age - since, 0.0)
    return frequency, recency, age, np.maximum(value, 0)
