"""CustomerModel: a question about customers, said once, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import ibis.expr.types as ir
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from events.schema import Events
from features.group import Feature
from models.revenue import Revenue

Array = NDArray[np.float64]
Label = Callable[[Events, ir.Table, int], ir.Table]
"""Of events, a population and a horizon in days: ``customer_key``, ``as_of`` and ``label``."""


class Ranges(Protocol):
    """Where the outcomes of most customers will lie, given their scores."""

    @property
    def level(self) -> float:
        """The share of outcomes that are to lie within."""
        ...

    def of(self, score: Array) -> tuple[Array, Array]:
        """The lowest and the highest likely outcome of each score, in its unit."""
        ...


class Fitted(Protocol):
    """An estimator that has learnt; it is written to and read from files without pickle."""

    def predict(self, x: Array) -> Array:
        """The scores of a matrix with one row per customer, one column per feature."""
        ...

    def contributions(self, x: Array) -> Array:
        """Per row what each column adds to the raw score, and last what all rows start from."""
        ...

    def corrected(self, raw: Array) -> Array:
        """The scores of raw scores; it rises with them."""
        ...

    @property
    def used(self) -> frozenset[int]:
        """The columns that may change a score: trees split by them, or a line gives them weight."""
        ...

    @property
    def intervals(self) -> Ranges | None:
        """Where outcomes will lie, by score; None where it was not learnt."""
        ...

    def to_files(self) -> dict[str, bytes]:
        """Everything needed to open it again, by file name."""
        ...


@dataclass(frozen=True)
class FitContext:
    """What the rows of a matrix ask.

    Attributes:
        features: the name of each column.
        days: the day of each row's as_of, counted from 1970-01-01.
        horizon_days: how far ahead the labels look.
        today: the day from which on the model is to answer; every label was known by then.
        revenue: the shop's, of the days before today; None where the label is no money.
    """

    features: tuple[str, ...]
    days: NDArray[np.int64]
    horizon_days: int
    today: int
    revenue: Revenue | None = None


class Estimator(Protocol):
    """Something that can learn a label from a matrix of features."""

    def fit(
        self,
        x: Array,
        y: Array,
        customers: NDArray[np.int64],
        categorical: list[int],
        context: FitContext | None = None,
    ) -> Fitted:
        """Learn.

        Args:
            x: one row per (customer, as_of), one column per feature; missing values are NaN.
            y: the labels.
            customers: the customer of each row: one customer never stands on both sides of a
                split that the estimator makes.
            categorical: the columns that hold codes of categories.
            asked: what the rows ask and when; None for rows of no particular moment.
        """
        ...


@dataclass(frozen=True)
class Condition:
    """Who a question makes sense for: a feature within bounds, both included.

    Attributes:
        otherwise: what is told about a customer who is outside.
    """

    feature: Feature
    otherwise: str
    at_least: float | None = None
    at_most: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The condition as a manifest holds it."""
        return {
            "feature": self.feature.name,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "otherwise": self.otherwise,
        }


@dataclass(frozen=True)
class Baseline:
    """The simplest thing a model has to beat: a score made from features without learning.

    Attributes:
        score: of a frame of features and the horizon in days.
    """

    name: str
    score: Callable[[pd.DataFrame, int], pd.Series]


@dataclass(frozen=True)
class Gate:
    """What a model must show on customers and a time it has not seen, before it may answer."""

    metric: str
    why: str
    at_least: float | None = None
    at_most: float | None = None

    def refusal(self, metrics: Mapping[str, float], part: str | None = None) -> str | None:
        """Why the gate stays shut, in words; None when it opens.

        Args:
            part: of the customers, where the metric is about some of them.
        """
        value = metrics[self.metric]
        low, high = self.at_least, self.at_most
        if (low is None or value >= low) and (high is None or value <= high):
            return None
        bound = f"at least {low:g}" if low is not None and not value >= low else f"at most {high:g}"
        of = f" ({part})" if part else ""
        return f"{self.metric}{of} is {value:.3g} and must be {bound}: {self.why}"


class Question(Protocol):
    """What evaluation, gates and cards read of a question, whether about a shop or about a table."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def question(self) -> str:
        """What is asked, for people."""
        ...

    @property
    def kind(self) -> str:
        """``probability`` or ``money``."""
        ...

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The simplest things it has to beat."""
        ...

    @property
    def gates(self) -> tuple[Gate, ...]:
        """What it must show before it may answer."""
        ...


@dataclass(frozen=True)
class CustomerModel:
    """One question about customers.

    Attributes:
        kind: ``probability`` (of the label being 1) or ``money`` (the label, in currency).
        meaning: what the score says, with ``{days}`` for the horizon.
        horizon: how far ahead it asks. ``shorter_horizons`` are tried, in this order, where the
            history is too short for it.
        eligible: all of these must hold, in training as in serving.
        complement_of: the model of the opposite question, if there is one: that question is what
            is learnt, at this model's horizon, and the score is 1 − its score.
        tells_next_order: whether its versions also tell the day of the next order
            (:mod:`models.questions.next_order`), where that proves better than the customer's own rhythm.
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
    tells_next_order: bool = False
    minimum_customers: int = 200
    minimum_outcomes: int = 50

    @property
    def horizon_days(self) -> int:
        """The horizon in days."""
        return self.horizon.days
