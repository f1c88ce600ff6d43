"""Selects the blend that ranks best on inner splits by time, calibrates it, and fits intervals for money.

Every choice uses held-out rows: each moment is scored by models of what was known before it. The parts of
the selected blend are then fitted on all rows. The level is learnt apart (:mod:`models.estimators.level`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array, FitContext
from models.estimators.blend import BlendPart, FittedBlend
from models.estimators.calibration import common_line
from models.estimators.candidates import LINE_FEATURES, SMALL_TREES, Recipe
from models.estimators.holdouts import HeldOut, ValidationSplit, by_customer, by_time
from models.estimators.intervals import Intervals, doubt, fit_intervals
from models.estimators.level import PRIOR_SD, Level, forecast, intercept_for
from models.estimators.line import rounded
from models.estimators.past_levels import past_levels
from models.estimators.trees import PARAMETERS
from models.measures.metrics import RANKING

Learners = dict[str, BlendPart]
RawParts = dict[str, Array]
"""The raw scores of each part, not yet weighted."""


@dataclass(frozen=True)
class Blend:
    """Selects between trees, and trees blended with regressions on recency, frequency and money.

    Attributes:
        kind: of the label, ``probability`` (0 or 1) or ``money`` (0 or more, in currency).
        rounds, parameters: LightGBM's parameters, of all trees.
    """

    kind: str
    rounds: int = 150
    parameters: dict[str, Any] = field(default_factory=dict)

    def fit(
        self, x: Array, y: Array, customers: NDArray[np.int64], categorical: list[int],
        context: FitContext | None = None,
    ) -> FittedBlend:  # fmt: skip
        """Select a blend, fit it on all rows, then calibrate it on held-out rows."""
        holdouts = [] if context is None else by_time(context, y, self.kind)
        timed, holdouts = bool(holdouts), holdouts or by_customer(customers)
        # Folds by customer cannot show whether a line extrapolates to a later time.
        names = context.features if context is not None and timed else ()
        line = tuple(names.index(name) for name in LINE_FEATURES if name in names)
        recipe = Recipe(self.kind, self.rounds, self.parameters, tuple(categorical), line)
        tried = _learn_abreast(recipe, holdouts, x, y)
        chosen, measures = _choose(recipe, tried, holdouts, y)
        weights = recipe.candidates[chosen]
        final = _blend(recipe, _learn_all(recipe, weights, x, y), weights)
        final = replace(final, chosen={"candidate": chosen, "by_time": timed, "inner": measures})
        return _calibrated(final, [_raw(parts, weights) for parts in tried], holdouts, x, y, context)


def probability_blend() -> Blend:
    """The estimator of a 0/1 label."""
    return Blend("probability", parameters=PARAMETERS | SMALL_TREES | {"objective": "binary"})


def money_blend() -> Blend:
    """The estimator of money: 0 for many customers and heavy-tailed for the rest, as a Tweedie
    distribution.
    """
    return Blend(
        "money", parameters=PARAMETERS | SMALL_TREES | {"objective": "tweedie", "tweedie_variance_power": 1.5}
    )


def _learn_all(recipe: Recipe, names: Sequence[str] | Mapping[str, float], x: Array, y: Array) -> Learners:
    return {name: recipe.part(name, recipe.learn(name, x, y), 1.0) for name in names}


def _learn_abreast(recipe: Recipe, holdouts: Sequence[ValidationSplit], x: Array, y: Array) -> list[RawParts]:
    """Fit every part of every candidate on the training rows of each split, and score the held-out rows."""
    names = list(dict.fromkeys(name for parts in recipe.candidates.values() for name in parts))

    def learn(holdout: ValidationSplit) -> RawParts:
        learners = _learn_all(recipe, names, x[holdout.learnt], y[holdout.learnt])
        return {name: part.raw(x[holdout.held_out]) for name, part in learners.items()}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(learn, holdouts))


def _blend(recipe: Recipe, learners: Learners, weights: Mapping[str, float]) -> FittedBlend:
    """The blend of fitted parts, not yet calibrated."""
    parts = {name: replace(learners[name], weight=weight) for name, weight in weights.items()}
    return FittedBlend(recipe.kind, parts, 1.0, 0.0)


def _raw(parts: RawParts, weights: Mapping[str, float]) -> Array:
    """The raw scores of a blend, as :meth:`FittedBlend.raw` adds them."""
    first, *others = (weight * parts[name] for name, weight in weights.items())
    return sum(others, first)


def _choose(
    recipe: Recipe, tried: Sequence[RawParts], holdouts: Sequence[ValidationSplit], y: Array
) -> tuple[str, dict[str, float]]:
    """The candidate that ranks best on average over the splits, and the mean measure of each candidate."""
    _, measure = RANKING[recipe.kind]
    measures = {}
    for name, weights in recipe.candidates.items():
        values = [
            measure(y[h.held_out], _raw(parts, weights)) for h, parts in zip(holdouts, tried, strict=True)
        ]
        measures[name] = rounded(float(np.mean(values)))
    return max(measures, key=lambda name: measures[name]), measures


def _calibrated(
    final: FittedBlend, raw: Sequence[Array], holdouts: Sequence[ValidationSplit],
    x: Array, y: Array, context: FitContext | None,
) -> FittedBlend:  # fmt: skip
    """Set the slope from held-out rows and the level of the present, and fit intervals of money.

    Args:
        raw: per split the raw scores of the held-out rows.
    """
    kind = final.kind
    outcome = [y[h.held_out] for h in holdouts]
    # A fit resembles the final one the more, the more rows it learnt from.
    slope, intercepts = common_line(kind, outcome, raw, [len(h.learnt) for h in holdouts])
    slope = rounded(slope)
    level = None if context is None else _level_now(context, y)
    if level is None or context is None or context.current is None:
        intercept, sd = _own_level(final, slope, intercepts, x, y)
        chosen: dict[str, Any] = {"level": {"sd": rounded(sd)}}
    else:
        intercept = intercept_for(kind, slope * final.raw(context.current), level.total)
        sd, chosen = level.sd, {"level": {name: rounded(value) for name, value in asdict(level).items()}}
    predicted = [
        replace(final, slope=slope, intercept=b).corrected(r) for r, b in zip(raw, intercepts, strict=True)
    ]
    if kind == "money":
        predicted = [p * (o.sum() / p.sum()) for o, p in zip(outcome, predicted, strict=True)]
    past = None
    if context is not None:
        line = slope * final.raw(x) + intercept
        past = past_levels(kind, context.days, line, y, context.today)
    held_out = HeldOut(np.concatenate([h.held_out for h in holdouts]), np.concatenate(predicted))
    return replace(
        final, slope=slope, intercept=rounded(intercept), chosen=dict(final.chosen) | chosen,
        intervals=_intervals(outcome, predicted, sd) if kind == "money" else None,
        past=past, held_out=held_out,
    )  # fmt: skip


def _level_now(context: FitContext, y: Array) -> Level | None:
    """The forecast of the total of today's customers; None without totals of past windows."""
    if context.totals is None:
        return None
    outcomes = context.totals.outcomes or {
        int(day): float(y[context.days == day].sum()) for day in np.unique(context.days)
    }
    return forecast(context.totals, outcomes, context.today, context.horizon_days)


def _own_level(
    final: FittedBlend, slope: float, intercepts: Array, x: Array, y: Array
) -> tuple[float, float]:
    """The intercept without a forecast, and the standard deviation of the logarithm of its error.

    It is the mean over the splits for probabilities. For money it is halfway between that and the level of
    all training rows.
    """
    sd = float(np.sqrt((intercepts.var() * len(intercepts) + PRIOR_SD**2) / (len(intercepts) + 1)))
    mean = float(intercepts.mean())
    if final.kind == "probability":
        return mean, sd
    return (mean + intercept_for("money", slope * final.raw(x), float(y.sum()))) / 2, sd


def _intervals(outcome: Sequence[Array], predicted: Sequence[Array], sd: float) -> Intervals:
    """Intervals of held-out money, widened by the doubt about the level.

    Args:
        predicted: per split, at its actual total; the spread is that at this total.
        sd: the standard deviation of the logarithm of the level.
    """
    actual, money = np.concatenate(outcome), np.concatenate(predicted)
    levels = doubt(sd)
    intervals = fit_intervals(np.outer(levels, actual).ravel(), np.tile(money, len(levels)))
    return intervals.with_spread(actual, money)
