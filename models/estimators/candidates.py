"""What may take part in a blend, and the blends that compete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimators.blend import Link, Part, Written
from models.estimators.line import Family, fit_line, rounded
from models.estimators.season import log_odds_of_moments, weight_of_moments
from models.estimators.trees import PARAMETERS, Trees, grow
from models.spec import Array

HABITS = ("orders_total", "recency_days", "tenure_days", "average_order_value")
LINE_FEATURES = ("orders_total", "recency_days", "tenure_days", "net_spend_365d", "average_order_value")
SMALL_TREES: dict[str, Any] = {
    "num_leaves": 7, "min_data_in_leaf": 60, "learning_rate": 0.04, "lambda_l2": 10.0,
}  # fmt: skip
CANDIDATES: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "probability": {
        "trees": {"trees": 1.0},
        "trees and line": {"trees": 0.5, "line": 0.5},
        "larger trees": {"larger_trees": 1.0},
        "larger trees and line": {"larger_trees": 0.5, "line": 0.5},
    },
    "money": {
        "trees": {"trees": 1.0},
        "trees and line": {"trees": 0.5, "line": 0.5},
        "larger trees": {"larger_trees": 1.0},
        "larger trees and line": {"larger_trees": 0.5, "line": 0.5},
        "two parts by trees": {"order_trees": 1.0, "value_trees": 1.0},
        "two parts by trees and lines": {
            "order_trees": 0.5, "value_trees": 0.5, "order_line": 0.5, "value_line": 0.5,
        },
        "buy till you die": {"btyd": 1.0},
        "buy till you die and trees": {"btyd": 0.5, "trees": 0.5},
    },
}  # fmt: skip
"""By the kind of score each candidate's parts, with their weights."""


@dataclass(frozen=True)
class Recipe:
    """How parts are learnt.

    Attributes:
        parameters: LightGBM's.
        line: the columns that lines read; none where lines are to take no part.
        habits: those that buying till death reads; none where it is to take no part.
        horizon_days: how far ahead the labels look.
    """

    kind: str
    rounds: int
    parameters: Mapping[str, Any]
    categorical: tuple[int, ...]
    line: tuple[int, ...] = ()
    habits: tuple[int, ...] = ()
    horizon_days: int = 0

    @property
    def candidates(self) -> Mapping[str, Mapping[str, float]]:
        """Those that can be learnt."""
        absent = [name for name, columns in (("line", self.line), ("btyd", self.habits)) if not columns]
        return {
            name: parts
            for name, parts in CANDIDATES[self.kind].items()
            if not any(part.rpartition("_")[2] in absent for part in parts)
        }

    def learn(self, name: str, x: Array, y: Array, days: NDArray[np.int64]) -> Trees | Written:
        """One part: ``trees`` or a ``line`` of the label, of an ``order`` at all, or of its ``value``.

        Buying till death (``btyd``) reads no label.

        Args:
            days: the moment of each row.

        Raises:
            PatronError: these rows cannot teach it.
        """
        target, _, learner = name.rpartition("_")
        if learner == "btyd":
            from models.estimators.repeat_value import fit_repeat_value  # see blend._opened

            return fit_repeat_value(x[days == days.max()], self.habits, self.horizon_days)
        if target == "value":  # of who ordered; its logarithm, since values differ by factors
            x, y = x[y > 0], np.log(y[y > 0])
        elif target == "order":
            y = (y > 0).astype(np.float64)
        # Of money neither made inner splits rank better.
        timely = self.kind == "probability"
        weight = weight_of_moments(days) if timely else None
        if learner == "line":
            return fit_line(_FAMILIES[target or self.kind], x, self.line, y, weight)
        parameters = dict(self.parameters) | dict(_OWN_PARAMETERS.get(target, {}))
        start = log_odds_of_moments(y, days) if timely else None
        booster = grow(parameters, self.rounds, x, y, list(self.categorical), weight, start)
        return Trees(booster, 0.0 if start is None else rounded(float(np.average(start, weights=weight))))


def parts_of(learners: Mapping[str, Trees | Written], weights: Mapping[str, float]) -> dict[str, Part]:
    """Learners as they take part in a blend."""
    links: dict[bool, Link] = {True: "log_probability", False: "identity"}
    return {n: Part(learners[n], weight, links[n.startswith("order")]) for n, weight in weights.items()}


_FAMILIES: Mapping[str, Family] = {
    "order": "logistic", "value": "normal", "probability": "logistic", "money": "tweedie",
}  # fmt: skip
_OWN_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "order": {"objective": "binary"},
    "value": {"objective": "regression"},
    "larger": {name: PARAMETERS[name] for name in SMALL_TREES},
}
