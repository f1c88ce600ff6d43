"""The parts of a blend, and the candidate blends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.estimator import Array
from models.estimators.blend import BlendPart, Link, RawScorer
from models.estimators.line import Family, fit_line
from models.estimators.trees import PARAMETERS, Trees, grow

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
    },
}  # fmt: skip
"""For each kind of score the candidates, with their parts and weights."""


@dataclass(frozen=True)
class Recipe:
    """How parts are fitted.

    Attributes:
        parameters: LightGBM's parameters.
        line: the columns that lines read; empty to exclude lines.
    """

    kind: str
    rounds: int
    parameters: Mapping[str, Any]
    categorical: tuple[int, ...]
    line: tuple[int, ...]

    @property
    def candidates(self) -> Mapping[str, Mapping[str, float]]:
        """The candidates that can be fitted."""
        candidates = CANDIDATES[self.kind]
        if self.line:
            return candidates
        return {
            name: parts for name, parts in candidates.items() if not any("line" in part for part in parts)
        }

    def learn(self, name: str, x: Array, y: Array) -> RawScorer:
        """Fit one part: ``trees`` or a ``line`` for the label, for any ``order``, or for the ``value`` of
        orders.
        """
        target, _, learner = name.rpartition("_")
        if target == "value":  # of customers who ordered; its logarithm, since values differ by factors
            x, y = x[y > 0], np.log(y[y > 0])
        elif target == "order":
            y = (y > 0).astype(np.float64)
        if learner == "line":
            return fit_line(_FAMILIES[target or self.kind], x, self.line, y)
        parameters = dict(self.parameters) | dict(_OWN_PARAMETERS.get(target, {}))
        return Trees(grow(parameters, self.rounds, x, y, list(self.categorical)))

    def part(self, name: str, model: RawScorer, weight: float) -> BlendPart:
        """A fitted model as a part of a blend."""
        link: Link = "log_probability" if name.startswith("order") else "identity"
        return BlendPart(model, weight, link)


_FAMILIES: Mapping[str, Family] = {
    "order": "logistic", "value": "normal", "probability": "logistic", "money": "tweedie",
}  # fmt: skip
_OWN_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "order": {"objective": "binary"},
    "value": {"objective": "regression"},
    "larger": {name: PARAMETERS[name] for name in SMALL_TREES},
}
