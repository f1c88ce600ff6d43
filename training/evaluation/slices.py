"""Slices: groups of customers that are evaluated separately, by tenure, last order, segment and origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.estimator import Array

Mask = NDArray[np.bool_]

NAMED = {
    "value_tier": "value tier",
    "lifecycle_stage": "lifecycle stage",
    "acquisition_channel": "channel",
    "country": "country",
}
"""Features whose most common values are slices, with their labels."""
FEATURES = ("known_days", "recency_days", *NAMED)
MIN_CUSTOMERS = 100  # with a value, to be a slice of its own
MAX_VALUES = 5
MIN_OUTCOMES = 20  # of each kind; with fewer, a ranking measure is too noisy
_RECENCY = ((0, 30), (31, 90), (91, 180), (181, 365), (366, None))


def slices(frame: pd.DataFrame) -> Iterator[tuple[str, Mask]]:
    """Each slice of a frame of features by its name; slices of features it lacks are left out.

    Args:
        frame: one row per customer and moment, and any of ``FEATURES``.
    """
    if "known_days" in frame:
        days = _numbers(frame["known_days"])
        yield "known for under a year", days < 365
        yield "known for a year or more", days >= 365
    if "recency_days" in frame:
        days = _numbers(frame["recency_days"])
        for low, high in _RECENCY:
            if high is None:
                yield f"last order over {low - 1} days ago", days >= low
            else:
                yield f"last order {low} to {high} days ago", (days >= low) & (days <= high)
    for name, called in NAMED.items():
        if name in frame:
            yield from _values(frame, name, called)


def _values(frame: pd.DataFrame, name: str, called: str) -> Iterator[tuple[str, Mask]]:
    """Slices of the most common values, with at least ``MIN_CUSTOMERS``; the rest is one slice."""
    values = frame[name].astype(object)
    customers = frame["customer_key"].groupby(values).nunique()
    common = customers[customers >= MIN_CUSTOMERS].sort_values(ascending=False, kind="stable")
    named = [str(value) for value in common.index[:MAX_VALUES]]
    for value in named:
        yield f"{called} {value}", (values == value).to_numpy(np.bool_)
    if named:
        yield f"{called} any other, or not known", ~values.isin(named).to_numpy(np.bool_)


def _numbers(column: pd.Series[Any]) -> Array:
    values: Array = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def enough(kind: str, outcome: Array, least: int = MIN_OUTCOMES) -> bool:
    """Whether there are enough outcomes of each kind for a ranking measure."""
    having = int((outcome > 0).sum())
    return min(having, len(outcome) - having if kind == "probability" else having) >= least
