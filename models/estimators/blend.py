"""A blend: the weighted sum of several models' raw scores, with one correction.

On a log scale the blend of expectations is their geometric mean; on log-odds, that of odds. A two-part model
(probability of any order × value of the orders) is a sum of logarithms too, so it can be a part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array
from models.estimators.attribution import attributed
from models.estimators.holdouts import HeldOut
from models.estimators.intervals import Intervals
from models.estimators.line import Regression
from models.estimators.past_levels import PastLevels
from models.estimators.trees import Trees
from models.measures.metrics import Numbers, sigmoid

if TYPE_CHECKING:
    import lightgbm as lgb

Link = Literal["identity", "log_probability"]


class RawScorer(Protocol):
    """A part of a blend."""

    def raw(self, x: Array) -> Array:
        """The raw score of each row."""
        ...

    def raw_of_row(self, row: Array) -> float:
        """The raw score of a single row, an array of one dimension."""
        ...

    def contributions(self, x: Array) -> Array:
        """Per row what each column adds to the raw score, and last the base common to all rows."""
        ...

    @property
    def used(self) -> frozenset[int]:
        """The columns that can change the raw score."""
        ...


def log_probability(log_odds: Numbers) -> Numbers:
    """Convert log-odds to the logarithm of the probability."""
    result: Numbers = -np.logaddexp(0, -log_odds)
    return result


@dataclass(frozen=True)
class BlendPart:
    """A model in a blend, with its weight and the transformation of its raw score."""

    model: RawScorer
    weight: float = 1.0
    link: Link = "identity"

    def raw(self, x: Array) -> Array:
        """The part's contribution to the blend's raw score of each row."""
        raw = self.model.raw(x)
        return self.weight * (log_probability(raw) if self.link == "log_probability" else raw)

    def raw_of_row(self, row: Array) -> float:
        """The part's contribution to the blend's raw score of a single row."""
        raw = self.model.raw_of_row(row)
        return self.weight * (float(log_probability(raw)) if self.link == "log_probability" else raw)

    def contributions(self, x: Array) -> Array:
        """Per row what each column adds to the part's contribution, and last the base."""
        contributions = self.model.contributions(x)
        return self.weight * (
            attributed(contributions, log_probability) if self.link == "log_probability" else contributions
        )


@dataclass(frozen=True)
class FittedBlend:
    """A fitted blend: parts by name, and the correction of the sum of their raw scores.

    Attributes:
        kind: ``probability`` or ``money``.
        slope, intercept: from the raw score to log-odds, or to the logarithm of money.
        chosen: how the blend was chosen: among others the measure of each candidate on the inner splits.
        intervals: prediction intervals by score; None if they were not fitted.
        past: the levels of the training months; None in versions of earlier releases and without moments.
        held_out: the predictions of the inner splits; None after reloading.
    """

    kind: str
    parts: Mapping[str, BlendPart]
    slope: float
    intercept: float
    chosen: Mapping[str, Any] = field(default_factory=dict)
    intervals: Intervals | None = None
    past: PastLevels | None = None
    held_out: HeldOut | None = field(default=None, compare=False, repr=False)

    def raw(self, x: Array) -> Array:
        """The sum of the parts' raw scores, of each row."""
        first, *others = (part.raw(x) for part in self.parts.values())
        return sum(others, first)

    def predict(self, x: Array) -> Array:
        """Probabilities, or money."""
        return np.array([self.predict_row(x[0])]) if len(x) == 1 else self.corrected(self.raw(x))

    def predict_row(self, row: Array) -> float:
        """The same for a single row, to the last bit."""
        return float(self.corrected(sum(part.raw_of_row(row) for part in self.parts.values())))

    def predict_as_of(self, x: Array, days: NDArray[np.int64]) -> Array:
        """The same as :meth:`predict` as of past days, at the levels of these days.

        Args:
            days: of each row, counted from 1970-01-01.
        """
        line = self.slope * self.raw(x) + self.intercept
        return self._of_line(line if self.past is None else line + self.past.of(days))

    def contributions(self, x: Array) -> Array:
        """Per row what each column adds to the raw score, and last the base common to all rows."""
        first, *others = (part.contributions(x) for part in self.parts.values())
        return sum(others, first)

    def corrected(self, raw: Numbers) -> Numbers:
        """Convert raw scores, or a single one, to probabilities or money."""
        line: Numbers = self.slope * raw + self.intercept
        return self._of_line(line)

    def _of_line(self, line: Numbers) -> Numbers:
        if self.kind == "probability":
            return sigmoid(line)
        money: Numbers = np.exp(line)
        return money

    @property
    def used(self) -> frozenset[int]:
        """The columns that can change a score through any part."""
        return frozenset().union(*(part.model.used for part in self.parts.values()))

    @property
    def boosters(self) -> list[lgb.Booster]:
        """The trees among the parts."""
        return [part.model.booster for part in self.parts.values() if isinstance(part.model, Trees)]

    def to_files(self) -> dict[str, bytes]:
        """LightGBM's text of each part made of trees, everything else as JSON."""
        files: dict[str, bytes] = {}
        parts: dict[str, Any] = {}
        for name, part in self.parts.items():
            parts[name] = {"weight": part.weight, "link": part.link}
            if isinstance(part.model, Trees):
                file = "trees.lgb" if len(self.boosters) == 1 else f"{name}.lgb"
                parts[name]["trees"] = file
                files[file] = part.model.booster.model_to_string().encode()
            elif isinstance(part.model, Regression):
                parts[name]["line"] = part.model.as_dict()
        parameters = {
            "kind": self.kind,
            "slope": self.slope,
            "intercept": self.intercept,
            "parts": parts,
            "chosen": dict(self.chosen),
            "intervals": None if self.intervals is None else self.intervals.as_dict(),
        }
        if self.past is not None:
            parameters["past"] = self.past.as_dict()
        return files | {"parameters.json": json.dumps(parameters, indent=2).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> FittedBlend:
        """Load what :meth:`to_files` wrote."""
        parameters = json.loads(files["parameters.json"])
        parts = {
            name: BlendPart(_opened(part, files), part["weight"], part["link"])
            for name, part in parameters["parts"].items()
        }
        intervals = None if parameters["intervals"] is None else Intervals.from_dict(parameters["intervals"])
        past = PastLevels.from_dict(parameters["past"]) if "past" in parameters else None
        return cls(
            parameters["kind"],
            parts,
            parameters["slope"],
            parameters["intercept"],
            parameters["chosen"],
            intervals,
            past,
        )


def _opened(part: Mapping[str, Any], files: Mapping[str, bytes]) -> RawScorer:
    import lightgbm as lgb

    if "line" in part:
        return Regression.from_dict(part["line"])
    return Trees(lgb.Booster(model_str=files[part["trees"]].decode()))
