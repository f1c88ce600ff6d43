"""Totals of an outcome over past windows, from which the level of the next window is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Cohorts:
    """Revenue by the day of the customer's first order and the day of payment. Days are from 1970-01-01.

    Attributes:
        history_start: the first day of the history.
        arrival, customers: the days on which customers ordered for the first time, and how many did.
        cohort, day: pairs of the day of the first order and the day of payment.
        amount: per pair, net revenue in currency, the amounts of a customer and day winsorized.
        squares: per pair, the sum of the squares of the amounts above 0.
    """

    history_start: int
    arrival: NDArray[np.int64]
    customers: NDArray[np.int64]
    cohort: NDArray[np.int64]
    day: NDArray[np.int64]
    amount: NDArray[np.float64]
    squares: NDArray[np.float64]

    def before(self, day: int) -> Cohorts:
        """What was known before a day."""
        arrived, paid = self.arrival < day, self.day < day
        return Cohorts(
            self.history_start, self.arrival[arrived], self.customers[arrived],
            self.cohort[paid], self.day[paid], self.amount[paid], self.squares[paid],
        )  # fmt: skip


@dataclass(frozen=True)
class OutcomeTotals:
    """Totals of an outcome over windows of the horizon's length, in the label's unit.

    Days are counted from 1970-01-01. Only windows are contained that the history covers.

    Attributes:
        before: for a moment's day, the total of its eligible customers in the window that ends there.
        shop: for a window's first day, the total of all customers of the shop.
        customers: for a moment's day, the number of its eligible customers.
        cohorts: of money: the revenue by cohort.
        outcomes: for the day of a moment of the fit, the total outcome of its eligible customers; empty if
            the rows of the fit are those of all of them.
    """

    before: Mapping[int, float]
    shop: Mapping[int, float]
    customers: Mapping[int, int] = field(default_factory=dict)
    cohorts: Cohorts | None = None
    outcomes: Mapping[int, float] = field(default_factory=dict)
