"""Totals of an outcome over windows, of all customers of a shop; windows are given by their first days."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import numpy as np
import pyarrow as pa

from events.schema import Events, latest
from models.outcome_totals import Cohorts
from models.outliers import winsorized


def revenue_in_windows(events: Events, first_days: Sequence[int], days: int) -> dict[int, float]:
    """Net revenue (paid less refunded) in currency, with the outliers among days winsorized."""
    paid, back = latest(events.order_lines), latest(events.refunds)
    moved = paid.select("day", "amount").union(back.select("day", amount=-back.amount))
    daily = moved.group_by("day").aggregate(amount=moved.amount.sum().cast("float64")).to_pandas()
    if daily.empty:
        return dict.fromkeys(first_days, 0.0)
    start = int(daily["day"].min())
    by_day = np.zeros(int(daily["day"].max()) - start + 1)
    by_day[daily["day"].to_numpy(np.int64) - start] = winsorized(daily["amount"].to_numpy(np.float64))
    total = np.concatenate([[0.0], by_day.cumsum()])

    def until(day: int) -> float:
        return float(total[min(max(day - start, 0), len(by_day))])

    return {first: until(first + days) - until(first) for first in first_days}


def buyers_in_windows(events: Events, first_days: Sequence[int], days: int) -> dict[int, float]:
    """Customers with an order."""
    lines = latest(events.order_lines).select("customer_key", "day").distinct()
    windows = ibis.memtable(pa.table({"first_day": pa.array(first_days, pa.int32())}))
    inside = windows.join(lines, [lines.day >= windows.first_day, lines.day < windows.first_day + days])
    counted = inside.group_by("first_day").aggregate(buyers=inside.customer_key.nunique()).to_pandas()
    buyers = dict(zip(counted["first_day"].tolist(), counted["buyers"].astype(float).tolist(), strict=True))
    return {first: buyers.get(first, 0.0) for first in first_days}


def revenue_by_cohort(events: Events, history_start: int) -> Cohorts:
    """Net revenue by the day of the customer's first order; customers without an order are left out."""
    paid, back = latest(events.order_lines), latest(events.refunds)
    arrivals = paid.group_by("customer_key").aggregate(cohort=paid.day.min())
    moved = paid.select("customer_key", "day", "amount").union(
        back.select("customer_key", "day", amount=-back.amount)
    )
    daily = moved.group_by("customer_key", "day").aggregate(amount=moved.amount.sum().cast("float64"))
    rows = daily.join(arrivals, "customer_key").select("cohort", "day", "amount").to_pandas()
    amount = winsorized(rows["amount"].to_numpy(np.float64))
    rows = rows.assign(amount=amount, squares=np.maximum(amount, 0.0) ** 2)
    pairs = rows.groupby(["cohort", "day"], as_index=False).sum()
    customers = arrivals.group_by("cohort").aggregate(customers=arrivals.count()).to_pandas()
    return Cohorts(
        history_start,
        *(customers[name].to_numpy(np.int64) for name in ("cohort", "customers")),
        *(pairs[name].to_numpy(np.int64) for name in ("cohort", "day")),
        *(pairs[name].to_numpy(np.float64) for name in ("amount", "squares")),
    )
