"""The action that is recommended for a customer, and the options that it was chosen from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from decisions.checks import Stage
from decisions.reasons import DecisionReason


@dataclass(frozen=True)
class Option:
    """An action for one customer.

    Attributes:
        value: in currency; None for an action that is not offered.
        why: for the chosen option why it was chosen, for any other why not.
        stage: the stage of the funnel that the action did not reach; None for a permitted option.
        factors: what the value consists of, in currency, and the priority; empty for nothing and for an
            action that is not offered.
    """

    action: str
    channel: str | None
    cost: float
    value: float | None
    why: tuple[DecisionReason, ...]
    stage: Stage | None = None
    factors: Mapping[str, float] = field(default_factory=dict)

    @property
    def expense(self) -> float:
        """The money that it is expected to cost, discounts included, in currency."""
        return sum(self.factors.get(name, 0.0) for name in ("discounts", "contact_cost", "acceptance_cost"))

    @property
    def priority(self) -> float:
        """What permitted options are ranked by, in currency."""
        return self.factors.get("priority", 0.0)


@dataclass(frozen=True)
class Recommendation:
    """The action for a customer, and why not the others.

    Attributes:
        how: ``best``, ``explored`` or ``holdout``.
        probabilities: of each permitted option before any draw, given whether the customer is in the
            holdout; they sum to 1.
        runners_up: the other permitted options, the most valuable first.
        not_offered: the actions that were not permitted.
        withheld: what a customer of the holdout would have got; None for other customers.
    """

    chosen: Option
    how: str
    probabilities: Mapping[str, float]
    runners_up: tuple[Option, ...]
    not_offered: tuple[Option, ...]
    withheld: str | None = None

    @property
    def probability(self) -> float:
        """The probability with which the chosen option was chosen."""
        return self.probabilities[self.chosen.action]
