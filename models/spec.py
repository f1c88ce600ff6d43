"""The specification of a model about customers, as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import ibis.expr.types as ir
import pandas as pd

from events.schema import Events
from features.group import Feature
from models.estimator import Estimator
from models.outcome_totals import Cohorts

Label = Callable[[Events, ir.Table, int], ir.Table]
WindowTotal = Callable[[Events, Sequence[int], int], dict[int, float]]
CohortRevenue = Callable[[Events, int], Cohorts]
"""A function of events, a population and a horizon in days; returns ``customer_key``, ``as_of`` and
``label``.
"""


@dataclass(frozen=True)
class Condition:
    """An eligibility condition: a feature within bounds, both included.

    Attributes:
        otherwise: the text about a customer who is not eligible.
    """

    feature: Feature
    otherwise: str
    at_least: float | None = None
    at_most: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The condition as part of a manifest."""
        return {
            "feature": self.feature.name,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "otherwise": self.otherwise,
        }


@dataclass(frozen=True)
class Baseline:
    """A simple score to beat, computed from features without training.

    Attributes:
        score: a function of a frame of features and the horizon in days.
    """

    name: str
    score: Callable[[pd.DataFrame, int], pd.Series]


@dataclass(frozen=True)
class Gate:
    """A requirement for promotion: bounds of a metric on held-out customers and a later time."""

    metric: str
    why: str
    at_least: float | None = None
    at_most: float | None = None

    def refusal(self, metrics: Mapping[str, float], part: str | None = None) -> str | None:
        """Why the gate fails, as text; None if it passes.

        Args:
            part: the slice of customers, if the metric is about a slice.
        """
        value = metrics[self.metric]
        low, high = self.at_least, self.at_most
        if (low is None or value >= low) and (high is None or value <= high):
            return None
        of = f" ({part})" if part else ""
        if math.isnan(value):
            return f"{self.metric}{of} cannot be computed from the outcomes of the test: {self.why}"
        bound = f"at least {low:g}" if low is not None and not value >= low else f"at most {high:g}"
        return f"{self.metric}{of} is {value:.3g} and must be {bound}: {self.why}"


class Question(Protocol):
    """What evaluation, gates and cards need to know of a model, about customers or about a table."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def question(self) -> str:
        """The question as text."""
        ...

    @property
    def kind(self) -> str:
        """``probability`` or ``money``."""
        ...

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The simple scores it has to beat."""
        ...

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The requirements for its promotion."""
        ...


@dataclass(frozen=True)
class CustomerModel:
    """A model about customers.

    Attributes:
        kind: ``probability`` (of the label being 1) or ``money`` (the label, in currency).
        meaning: the meaning of the score, with ``{days}`` for the horizon.
        horizon: of the predicted window. ``shorter_horizons`` are tried, in this order, in a short history.
        eligible: conditions that must all hold, in training as in serving.
        complement_of: the model of the opposite question, if there is one: its question is trained, at this
            model's horizon, and the score is 1 − its score.
        window_total: totals of the outcome over windows, of the shop; cohorts: revenue by cohort. The level
            is learnt from them; None if an outcome can happen only once.
        order: of money, the question whether there is any; its probability is published with the model.
        tells_next_order: whether its versions also predict the day of the next order.
    """

    name: str
    question: str
    meaning: str
    kind: str
    horizon: timedelta
    features: tuple[Feature, ...]
    eligible: tuple[Condition, ...]
    label: Label
    estimator: Callable[[], Estimator]
    baselines: tuple[Baseline, ...]
    gates: tuple[Gate, ...]
    shorter_horizons: tuple[timedelta, ...] = ()
    complement_of: CustomerModel | None = None
    window_total: WindowTotal | None = None
    cohorts: CohortRevenue | None = None
    order: CustomerModel | None = None
    tells_next_order: bool = False
    minimum_customers: int = 200
    minimum_outcomes: int = 50

    @property
    def horizon_days(self) -> int:
        """The horizon in days."""
        return self.horizon.days
