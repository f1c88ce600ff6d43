"""Catalogues of many actions and budgets, and random customers, for the measures."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import numpy as np

from decisions.catalogue.actions import Actions
from decisions.values.inputs import ValueInputs

HORIZONS = {"propensity": 30, "churn": 180, "clv": 365}
CHANNELS = ("email", "post", "app", "phone")


def catalogue(count: int, budgets: int = 0) -> Actions:
    """So many actions of four channels, on propensity and churn, with and without discounts and rules."""
    actions: list[dict[str, Any]] = [
        {
            "name": f"action_{number}",
            "channel": channel,
            "cost": 0.02 * (number % 7) + (2.0 if channel == "phone" else 0.05),
            "discount": 0.02 * (number % 5),
            "who": [{"feature": "orders_total", "at_least": number % 4}],
            "effect": {"on": "churn", "times": 0.95 - 0.01 * (number % 9)}
            if number % 3 == 0
            else {"on": "propensity", "times": 1.1 + 0.02 * (number % 9), "plus": 0.004 * (number % 5)},
        }
        for number, channel in zip(range(count), islice(cycle(CHANNELS), count), strict=True)
    ]
    limits = [
        {"name": "total", "money": 200_000.0},
        {"name": "post", "channel": "post", "money": 40_000.0},
        {"name": "calls", "channel": "phone", "contacts": 5_000},
        {"name": "mails", "channel": "email", "contacts": 150_000},
        {"name": "app", "channel": "app", "contacts": 100_000},
    ]
    return Actions.model_validate(
        {
            "margin": 0.4, "holdout_share": 0.1, "exploration_share": 0.05, "actions": actions,
            "budgets": limits[:budgets],
        }
    )  # fmt: skip


def customers(count: int, seed: int = 1) -> ValueInputs:
    """Customers with scores as shops have them: most seldom order, a few bring much."""
    random = np.random.default_rng(seed)
    propensity = random.beta(0.7, 4, count)
    return ValueInputs(
        count,
        {
            "propensity": propensity,
            "churn": np.clip(1 - propensity * random.uniform(1.2, 3, count), 0.01, 0.99),
            "clv": random.gamma(0.6, 300, count) * (0.2 + propensity),
        },
        HORIZONS,
        {"average_order_value": random.gamma(4, 16, count)},
    )
