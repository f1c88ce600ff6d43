"""The policy's input about a customer: scores, features and earlier contacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ScoreInput:
    """A model's score of a customer, or the reason why there is none."""

    score: float | None
    reason: str | None = None
    version: str | None = None
    horizon_days: int | None = None


@dataclass(frozen=True)
class CustomerContext:
    """A customer at the moment of a decision.

    Attributes:
        key: the customer's number, from which the random draws are made.
        scores: by model.
        facts: features by name; None where missing.
        days_since: days since each action was last chosen for the customer; actions never chosen are missing.
        unknown: why the customer has no features; None if there are some.
    """

    key: int
    scores: Mapping[str, ScoreInput]
    facts: Mapping[str, Any]
    days_since: Mapping[str, int] = field(default_factory=dict)
    unknown: str | None = None
