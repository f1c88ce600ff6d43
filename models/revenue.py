"""The shop's revenue by day, to compare seasons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from events.schema import Events, latest
from models.outliers import winsorized


@dataclass(frozen=True)
class Revenue:
    """Net revenue (paid less refunded) per day, in currency, from ``first_day`` on.

    Attributes:
        first_day: counted from 1970-01-01.
    """

    first_day: int
    by_day: NDArray[np.float64]

    def within(self, day: int, days: int) -> float | None:
        """The revenue of the ``days`` days from ``day`` on; None unless all of them are known."""
        start = day - self.first_day
        if start < 0 or start + days > len(self.by_day):
            return None
        return float(self.by_day[start : start + days].sum())


def net_revenue_by_day(events: Events, until: int) -> Revenue:
    """The revenue of the days before ``until``, with outliers capped as in :mod:`models.outliers`."""
    paid, back = latest(events.order_lines), latest(events.refunds)
    moved = paid.select("day", "amount").union(back.select("day", amount=-back.amount))
    daily = moved.group_by("day").aggregate(amount=moved.amount.sum().cast("float64"))
    revenue = daily.filter(daily.day < until).order_by("day").to_pandas()
    if revenue.empty:
        return Revenue(until, np.zeros(0))
    days = revenue["day"].to_numpy(np.int64)
    by_day = np.zeros(until - int(days[0]))
    by_day[days - days[0]] = winsorized(revenue["amount"].to_numpy(np.float64))
    return Revenue(int(days[0]), by_day)
