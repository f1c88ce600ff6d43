"""Propensity per product category: will this customer order something of this category soon?

One model for all categories: a row is a customer and a category, and says what the customer did in it, what
all customers do in it, and what the customer does at all. So a rare category learns from the common ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from models.bundle import FittedModel, digest
from models.encoding import Column, matrix, vocabulary
from models.estimators.trees import CalibratedTrees
from models.spec import Array

NAME = "category_propensity"
KEYS = ["customer_key", "category"]
# What a row holds beside its keys: by column its unit. Days are the shop's, windows reach back from as_of.
UNITS = {
    "category": "category",
    "orders_in_category": "orders",
    "orders_in_category_365d": "orders",
    "orders_in_category_90d": "orders",
    "days_since_category": "days",
    "spend_share_in_category": "share",
    "category_popularity_90d": "share",
    "share_of_orders_in_category": "share",
    "orders_total": "orders",
    "orders_365d": "orders",
    "orders_90d": "orders",
    "recency_days": "days",
    "tenure_days": "days",
    "distinct_categories": "categories",
}
_MEANING = 1  # to be raised where a column comes to mean something else


@dataclass(frozen=True)
class Asked:
    """A moment, and the shop's day on which it falls (days since 1970-01-01)."""

    as_of: datetime
    day: int


def known_at(lines: pd.DataFrame, moment: datetime) -> pd.DataFrame:
    """The order lines that had happened before a moment and were known by then."""
    cut = _naive(moment)
    return lines[(lines["timestamp"] < cut) & (lines["received_at"] <= cut)]


def _naive(moment: datetime) -> pd.Timestamp:
    return pd.Timestamp(moment).tz_convert("UTC").tz_localize(None)


def rows(lines: pd.DataFrame, asked: Asked) -> pd.DataFrame:
    """Every customer who had ordered by a moment with every category that anybody had bought.

    Args:
        lines: order lines: ``customer_key``, ``timestamp`` and ``received_at`` (UTC, without zone), ``day``,
            ``order_id``, ``category`` (may be missing) and ``amount`` in currency. Those that could not be
            known at the moment count for nothing.

    Returns:
        ``customer_key`` and the columns of ``UNITS``, by customer and category.
    """
    known = known_at(lines, asked.as_of)
    known = known.assign(days_ago=asked.day - known["day"])
    orders = known.groupby(["customer_key", "order_id"], as_index=False).agg(days_ago=("days_ago", "min"))
    within = known[known["category"].notna()]
    baskets = within.groupby([*KEYS, "order_id"], as_index=False).agg(
        days_ago=("days_ago", "min"), amount=("amount", "sum")
    )
    pairs = pd.MultiIndex.from_product(
        [sorted(orders["customer_key"].unique()), sorted(baskets["category"].unique())], names=KEYS
    )
    found = _counts(baskets, KEYS, "orders_in_category").reindex(pairs).reset_index()
    found = found.rename(columns={"latest": "days_since_category"}).drop(columns="earliest")
    spend = baskets.groupby(KEYS)["amount"].sum().reindex(pairs).fillna(0.0).to_numpy(np.float64)
    total = pd.Series(spend).groupby(found["customer_key"]).transform("sum").to_numpy()
    found["spend_share_in_category"] = np.divide(spend, total, out=np.zeros_like(spend), where=total > 0)
    found["category_popularity_90d"] = found["category"].map(_popularity(orders, baskets)).fillna(0.0)
    own = _counts(orders, ["customer_key"], "orders").rename(
        columns={"orders": "orders_total", "latest": "recency_days", "earliest": "tenure_days"}
    )
    own["distinct_categories"] = baskets.groupby("customer_key")["category"].nunique()
    found = found.join(own, on="customer_key")
    counts = [name for name, unit in UNITS.items() if unit in ("orders", "categories")]
    found = found.assign(**found[counts].fillna(0))
    found["share_of_orders_in_category"] = _smoothed_share(found)
    return found[["customer_key", *UNITS]]


def _counts(orders: pd.DataFrame, by: list[str], name: str) -> pd.DataFrame:
    """Orders so far and in two windows, and the days since the latest and the earliest."""
    frame = orders.assign(year=orders["days_ago"] <= 365, quarter=orders["days_ago"] <= 90)
    return frame.groupby(by).agg(
        **{
            name: ("days_ago", "size"),
            f"{name}_365d": ("year", "sum"),
            f"{name}_90d": ("quarter", "sum"),
            "latest": ("days_ago", "min"),
            "earliest": ("days_ago", "max"),
        }
    )


def _popularity(orders: pd.DataFrame, baskets: pd.DataFrame) -> pd.Series[float]:
    """By category the share of the last 90 days' orders that hold something of it."""
    recent = int((orders["days_ago"] <= 90).sum())
    counts = baskets[baskets["days_ago"] <= 90].groupby("category").size()
    return counts / max(recent, 1)


def bought_within(lines: pd.DataFrame, asked: Asked, pairs: pd.DataFrame, days: int) -> Array:
    """1 for pairs of customer and category that were ordered in the ``days`` days from a moment on, else 0.

    Args:
        lines: as :func:`rows` reads them. pairs: ``customer_key`` and ``category``.
    """
    later = lines[(lines["timestamp"] >= _naive(asked.as_of)) & (lines["day"] - asked.day < days)]
    bought = pd.MultiIndex.from_frame(later.loc[later["category"].notna(), KEYS])
    return pd.MultiIndex.from_frame(pairs[KEYS]).isin(bought).astype(np.float64)


def _smoothed_share(frame: pd.DataFrame) -> pd.Series[float]:
    """Share of a customer's orders with the category, drawn to its popularity by the weight of one order."""
    return (frame["orders_in_category"] + frame["category_popularity_90d"]) / (frame["orders_total"] + 1)


def habit(frame: pd.DataFrame) -> Array:
    """The baseline: the customer's orders of a year times the share that the category has of them."""
    found: Array = (frame["share_of_orders_in_category"] * frame["orders_365d"]).to_numpy(np.float64)
    return found


def columns(frame: pd.DataFrame) -> tuple[Column, ...]:
    """The columns that the model reads, with the categories of these rows."""
    return tuple(
        Column(
            name,
            "string" if name == "category" else "float64",
            unit,
            digest(f"{NAME} {_MEANING} {name}".encode()),
            vocabulary(frame[name]) if name == "category" else (),
        )
        for name, unit in UNITS.items()
    )


def fit(frame: pd.DataFrame, estimator: CalibratedTrees | None = None) -> FittedModel:
    """Learn ``label`` from rows, one customer never on both sides of a split.

    The model has a bundle's form: :func:`models.bundle.pack` writes it, and ``open_bundle`` opens it.
    """
    read = columns(frame)
    x = matrix(read, {c.name: frame[c.name].tolist() for c in read})
    categorical = [i for i, column in enumerate(read) if column.dtype == "string"]
    customers = frame["customer_key"].to_numpy(np.int64)
    fitted = (estimator or CalibratedTrees()).fit(
        x, frame["label"].to_numpy(np.float64), customers, categorical
    )
    manifest: dict[str, Any] = {
        "model": NAME,
        "features": [asdict(column) for column in read],
        "eligible": [],
        "complement": False,
    }
    return FittedModel("1", manifest, fitted, {})


def score(model: FittedModel, frame: pd.DataFrame) -> Array:
    """The probability of each row's customer ordering something of its category."""
    return model.score({name: frame[name].tolist() for name in UNITS})
