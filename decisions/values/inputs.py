"""What the values of actions are computed from, in columns: one customer or a million."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from decisions.context import CustomerContext

Column: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class ValueInputs:
    """Scores and features of customers in columns, each with one number per customer; NaN where missing.

    Attributes:
        size: the number of customers.
        scores: by model.
        horizons: days ahead, by model.
        features: numeric features by name.
        preferences: by channel, how much more often than usual customers respond on it; 1 where missing.
    """

    size: int
    scores: Mapping[str, Column]
    horizons: Mapping[str, int]
    features: Mapping[str, Column]
    preferences: Mapping[str, Column] = field(default_factory=dict)

    def score(self, model: str) -> Column:
        """The scores of a model."""
        return self.scores.get(model, self._missing)

    def feature(self, name: str) -> Column:
        """The values of a feature."""
        return self.features.get(name, self._missing)

    @property
    def _missing(self) -> Column:
        return np.full(self.size, np.nan)


def inputs_of(customer: CustomerContext, features: Iterable[str]) -> ValueInputs:
    """The same for one customer."""
    scores = {name: _column(score.score) for name, score in customer.scores.items()}
    horizons = {name: score.horizon_days for name, score in customer.scores.items() if score.horizon_days}
    facts = {name: _column(customer.facts.get(name)) for name in features}
    preferences = {channel: _column(factor) for channel, factor in customer.preferences.items()}
    return ValueInputs(1, scores, horizons, facts, preferences)


def _column(value: Any) -> Column:
    return np.array([np.nan if value is None else value], np.float64)
