"""The level check of one model: what was predicted for customers, against what they then did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from models.estimator import Array
from models.estimators.calibration import money_slope
from models.estimators.intervals import coverages
from models.measures import metrics

MIN_CUSTOMERS = 200
MIN_OUTCOMES = 20  # with an outcome; for probabilities also without one
OFF = 1.5  # predicted over actual, or its inverse, from which a level has drifted
MIN_COVERAGE = 0.75  # of intervals for nine in ten
DRAWS, SEED = 200, 0


@dataclass(frozen=True)
class LevelReport:
    """The result of a level check.

    Attributes:
        customers: those whose outcome is known by now, each with the first prediction of the span.
        predicted, actual: the totals over the horizon, in the score's unit.
        verdict: ``quiet``, ``drifted``, or ``too_few``.
        words: the verdict as text.
        ratio: predicted over actual total; ``low`` and ``high`` are its 95 % interval, by a bootstrap over
            customers. None if there are too few customers or outcomes, as is the rest.
        slope: of the calibration; below 1 the scores are spread too far.
        coverage, coverage_top_decile: the share of outcomes within their intervals, of all customers whose
            interval is known and of the tenth of them with the highest scores; None if they are fewer than
            ``MIN_CUSTOMERS``.
    """

    customers: int
    predicted: float
    actual: float
    verdict: Literal["quiet", "drifted", "too_few"]
    words: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    slope: float | None = None
    coverage: float | None = None
    coverage_top_decile: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return asdict(self)


def check_level(model: str, kind: str, horizon_days: int, rows: pd.DataFrame) -> LevelReport:
    """Compare scores with outcomes.

    Args:
        kind: ``probability`` or ``money``.
        rows: one per customer: ``score`` and ``label``; ``low`` and ``high`` where the interval is known.
    """
    score, outcome = (rows[name].to_numpy(np.float64) for name in ("score", "label"))
    having = int((outcome > 0).sum())
    fewer = min(having, len(outcome) - having) if kind == "probability" else having
    totals = float(score.sum()), float(outcome.sum())
    if len(rows) < MIN_CUSTOMERS or fewer < MIN_OUTCOMES:
        words = (
            f"The level of {model} cannot be checked: of {len(rows):,} customers the outcome of"
            f" {horizon_days} days is known, and it takes {MIN_CUSTOMERS} with {MIN_OUTCOMES} outcomes."
        )
        return LevelReport(len(rows), *totals, "too_few", words)
    ratio, (low, high) = metrics.total_ratio(outcome, score), _interval_of_ratio(outcome, score)
    slope = (money_slope if kind == "money" else metrics.calibration_slope)(outcome, score)
    covered = _covered(rows)
    wrong = []
    if low > OFF or high < 1 / OFF:
        wrong.append(f"the predicted total is {ratio:.2f} times the actual one ({low:.2f} to {high:.2f})")
    if covered[0] is not None and covered[0] < MIN_COVERAGE:
        wrong.append(f"only {covered[0]:.0%} of the outcomes lie within their intervals")
    if wrong:
        words = f"The level of {model} has drifted: {'; '.join(wrong)}. Train it again."
    else:
        words = (
            f"The level of {model} holds: the predicted total of {len(rows):,} customers is {ratio:.2f}"
            f" times the actual one ({low:.2f} to {high:.2f})."
        )
    verdict: Literal["quiet", "drifted"] = "drifted" if wrong else "quiet"
    return LevelReport(len(rows), *totals, verdict, words, ratio, low, high, float(slope), *covered)


def _covered(rows: pd.DataFrame) -> tuple[float | None, float | None]:
    """The shares of outcomes within their intervals; None if too few intervals are known."""
    if not {"low", "high"} <= {*rows.columns}:
        return None, None
    known = rows[["score", "label", "low", "high"]].dropna()
    if len(known) < MIN_CUSTOMERS:
        return None, None
    columns = (known[name].to_numpy(np.float64) for name in ("label", "score", "low", "high"))
    overall, top = coverages(*columns).values()
    return overall, top


def _interval_of_ratio(outcome: Array, score: Array) -> tuple[float, float]:
    dice = np.random.default_rng(SEED)
    ratios = []
    for _ in range(DRAWS):
        times = np.bincount(dice.integers(0, len(outcome), len(outcome)), minlength=len(outcome))
        ratios.append((times @ score) / max(float(times @ outcome), np.finfo(np.float64).tiny))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)
