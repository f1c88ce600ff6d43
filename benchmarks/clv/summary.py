"""Summarises orders for buy-till-you-die models: frequency, recency, T and mean repeat value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import PatronError
from models.estimator import Array


@dataclass(frozen=True)
class Summary:
    """One entry per customer, in the order of ``customers``.

    Attributes:
        customers: their keys, rising.
        frequency: repeat purchases: days with orders, less the first.
        recency: from the first purchase to the last; 0 for who bought once.
        T: from the first purchase to the end of observation, in recency's unit.
        monetary_value: mean value of a day of repeat purchases, in currency; NaN for who bought once.
    """

    customers: NDArray[np.int64]
    frequency: Array
    recency: Array
    T: Array
    monetary_value: Array


def summarise(
    customers: NDArray[np.int64],
    days: NDArray[np.int64],
    amounts: Array,
    until_day: int,
    days_per_unit: float = 1.0,
) -> Summary:
    """Count orders as the literature counts CDNOW's (Fader, Hardie & Lee, 2005): one purchase per day.

    Args:
        customers: whose order each is.
        days: the day of each, a whole number, such as days since 1970-01-01.
        amounts: the value of each, in currency.
        until_day: the last day observed; orders after it are left out.
        days_per_unit: how many days the unit of ``recency`` and ``T`` has, 7 for weeks.

    Raises:
        PatronError: an amount is not a number, the arrays are not of one length, or no order is left.
    """
    if not len(customers) == len(days) == len(amounts):
        raise PatronError(
            f"orders have {len(customers)} customers, {len(days)} days and {len(amounts)} amounts; give one"
            " of each per order"
        )
    if not np.isfinite(amounts).all():
        raise PatronError(
            f"{(~np.isfinite(amounts)).sum()} orders have an amount that is no finite number; leave them out"
        )
    seen = days <= until_day
    if not seen.any():
        raise PatronError(f"there is no order up to day {until_day}; choose a later end of observation")
    whose, days, amounts = customers[seen], days[seen], amounts[seen]
    order = np.lexsort((days, whose))
    whose, days, amounts = whose[order], days[order], amounts[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(whose) != 0) | (np.diff(days) != 0)])  # of purchases
    whose, days, amounts = whose[starts], days[starts], np.add.reduceat(amounts, starts)
    first = np.flatnonzero(np.r_[True, np.diff(whose) != 0])  # of customers
    last = np.r_[first[1:], len(whose)] - 1
    frequency = (last - first).astype(np.float64)
    repeat_value = np.add.reduceat(amounts, first) - amounts[first]
    mean_value = np.full(len(first), np.nan)
    np.divide(repeat_value, frequency, out=mean_value, where=frequency > 0)
    return Summary(
        customers=whose[first],
        frequency=frequency,
        recency=(days[last] - days[first]) / days_per_unit,
        T=(until_day - days[first]) / days_per_unit,
        monetary_value=mean_value,
    )
