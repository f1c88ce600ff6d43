"""The scores of a customer, and counts of their outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from models.registry.bundle import FittedModel


class Score(NamedTuple):
    """One model's score of a customer, or the reason why there is none.

    Attributes:
        low, high: the interval of an amount of money; None for a model without intervals.
        probability_of_order, amount_if_order: the two parts of an amount of money; None for a model without.
        shadow: the score of the other version that was computed: of the challenger, or of the champion that a
            challenger replaces. It is logged but not part of the response.
    """

    score: float | None
    percentile: float | None = None
    version: str | None = None
    reason: str | None = None
    shadow: Score | None = None
    low: float | None = None
    high: float | None = None
    probability_of_order: float | None = None
    amount_if_order: float | None = None

    @property
    def log_fields(self) -> dict[str, Any]:
        """The score as the log stores it."""
        own = {"version": self.version, "score": self.score}
        return own | {"beside": self.shadow.log_fields} if self.shadow else own


@dataclass(frozen=True, slots=True)
class ScoredCustomer:
    """All scores of one customer, and the moment of the features that they are computed from.

    Attributes:
        known: None while the database of customers is unavailable.
        stale: the feature groups that are older than their limit.
        degraded: why the scores are computed from cached features, or are defaults; None if neither.
        prediction_id: the id of the prediction in the log; None if it was not logged.
        values: the features that were read, by name, for all customers of the request.
        moments: the as_of of these features by group, in microseconds since 1970.
        index: the position of this customer in ``values`` and ``moments``.
        models: the models that gave the scores, by name.
        current: whether the refresher keeps up with the events.
    """

    customer_id: str
    known: bool | None
    reason: str | None
    features_as_of: datetime | None
    scores: dict[str, Score] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    degraded: str | None = None
    prediction_id: str | None = None
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    moments: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    index: int = 0
    models: Mapping[str, FittedModel] = field(default_factory=dict)
    current: bool = True

    @property
    def facts(self) -> dict[str, Any]:
        """The features of this customer that were read, by name."""
        return {name: column[self.index] for name, column in self.values.items()}

    @property
    def fresh(self) -> bool:
        """Whether there are features, none is older than its limit, and the refresher keeps up."""
        return self.features_as_of is not None and not self.stale and self.current


Outcomes: TypeAlias = dict[tuple[str, str], int]
"""How many scores had an outcome, by the names of the model and of the outcome."""


def count_outcomes(customers: Iterable[ScoredCustomer]) -> Outcomes:
    """Count the scores of these customers."""
    counts: Outcomes = {}
    for customer in customers:
        for name, score in customer.scores.items():
            if customer.degraded is not None:
                outcome = "degraded"
            else:
                outcome = "scored" if score.score is not None else "refused" if customer.known else "unknown"
            counts[name, outcome] = counts.get((name, outcome), 0) + 1
    return counts
