"""Stability: the ranking and the calibration of a fit, months after it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.measures import metrics
from models.spec import Baseline
from training.customers.backtest import OLDER_FIT_MONTHS, OlderFit
from training.evaluation.evaluate import MEASURES, RANKING
from training.evaluation.slices import enough

TOO_SHORT = f"The history is too short for a fit {OLDER_FIT_MONTHS} months before the test."


@dataclass(frozen=True)
class Age:
    """A fit of some age, on the customers of a moment and their outcomes.

    Attributes:
        days: from the fit's moment to the tested one.
        measure, baseline: the ranking measure of the scores, and of the model's first baseline; None, like
            ``calibration_slope``, if there are too few outcomes.
        total_ratio: mean score over mean outcome; None if nobody had the outcome.
    """

    days: int
    asked_on: str
    customers: int
    measure: float | None
    baseline: float | None
    calibration_slope: float | None
    total_ratio: float | None


def ages(
    kind: str, baseline: Baseline, horizon_days: int, older: OlderFit | None, zone: str
) -> tuple[Age, ...]:
    """An older fit at each month until the test, the freshest first; empty if there is none."""
    if older is None:
        return ()
    moments = older.frame.groupby("as_of", sort=True)
    return tuple(_age(kind, baseline, horizon_days, part, older, zone) for _, part in moments)


def _age(
    kind: str, baseline: Baseline, horizon_days: int, part: pd.DataFrame, older: OlderFit, zone: str
) -> Age:
    _, ranking = RANKING[kind]
    outcome, score = (part[name].to_numpy(np.float64) for name in ("label", "score"))
    simple = baseline.score(part, horizon_days).fillna(0).to_numpy(np.float64)
    measurable = enough(kind, outcome)
    asked_on = part["as_of"].iloc[0].tz_convert(zone)
    ratio = metrics.total_ratio(outcome, score)
    return Age(
        (asked_on.date() - older.fitted_at.astimezone(asked_on.tzinfo).date()).days,
        asked_on.date().isoformat(),
        len(part),
        ranking(outcome, score) if measurable else None,
        ranking(outcome, simple) if measurable else None,
        MEASURES[kind]["calibration_slope"](outcome, score) if measurable else None,
        ratio if np.isfinite(ratio) else None,
    )


def table(kind: str, baseline: str, rows: Sequence[Age]) -> str:
    """The rows as text, a line each; a sentence if there are none."""
    if not rows:
        return TOO_SHORT
    name, _ = RANKING[kind]
    width = max(len(baseline), 8)
    lines = [
        f"{'age':>8}  {'tested on':<10}{'customers':>11}{name:>8}{baseline:>{width + 2}}"
        f"{'slope':>8}{'predicted/actual':>18}"
    ]
    for row in rows:
        ranked = f"{_figure(row.measure):>8}{_figure(row.baseline):>{width + 2}}"
        true = f"{_figure(row.calibration_slope):>8}{_figure(row.total_ratio):>18}"
        lines.append(f"{f'{row.days} days':>8}  {row.asked_on:<10}{row.customers:>11,}{ranked}{true}")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "too few" if value is None else f"{value:.3f}"
