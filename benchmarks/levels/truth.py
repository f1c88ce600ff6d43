"""Predicted money against the true expectation of each customer of a simulated shop."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow.parquet as pq

from benchmarks.levels.forecasts import data_of_today
from benchmarks.levels.shops import NOW, plan_of
from benchmarks.policy.shops import expected_orders
from core.home import Home
from events import lake
from events.simulation.truth import ShopTime
from features.workspace import Workspace
from models.questions.clv import clv
from training.customers.backtest import fit
from training.customers.dataset import columns_of
from training.customers.horizon import with_horizon


def errors(workspace: Workspace, name: str, days: int) -> tuple[float, float] | None:
    """The mean absolute error of today's clv against the truth, in currency per customer.

    Returns:
        With the forecast level, and with the level of the training months, used before; None if
        the history is too short.
    """
    data = data_of_today(workspace, with_horizon(clv, days))
    if data is None or data.current is None:
        return None
    truth = true_values(workspace.home, name, days)
    expected = np.array([truth[key] for key in data.current["customer_key"]])
    columns = columns_of(data.current)
    ours, own_level = (
        fit(rows, False, "benchmark").score(columns) for rows in (data, replace(data, totals=None))
    )
    return float(np.abs(ours - expected).mean()), float(np.abs(own_level - expected).mean())


def true_values(home: Home, name: str, days: int) -> dict[int, float]:
    """Each customer's expected spend within the days from ``NOW``, by key: less refunds, before discounts.

    :mod:`events.simulation.truth` describes the process.
    """
    plan = plan_of(name)
    today = (NOW.date() - plan.start).days
    time = ShopTime.of(plan, NOW + timedelta(days=days + 2))
    values = {}
    for row in pq.read_table(lake.current(home).folder / "truth.parquet").to_pylist():
        mass = time.mass + plan.campaign_lift * row["discount_sensitivity"] * time.campaign_mass
        rate = row["purchase_rate_per_day"] * (mass[today + days] - mass[today])
        drops, back = row["dropout_probability"], row["refund_probability"] * plan.refund_dropout
        orders = expected_orders(rate, drops + (1 - drops) * back) if row["dropped_out_at"] is None else 0.0
        values[row["customer_key"]] = row["order_value_mean"] * orders * (1 - row["refund_probability"])
    return values
