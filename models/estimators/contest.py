"""Selects the blend that ranks best on inner splits by time, calibrates it, and fits intervals for money.

Every choice uses held-out rows: each moment is scored by models of what was known before it. The parts of
the selected blend are then fitted on all rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimators.blend import BlendPart, FittedBlend
from models.estimators.calibration import common_line
from models.estimators.candidates import LINE_FEATURES, SMALL_TREES, Recipe
from models.estimators.holdouts import ValidationSplit, by_customer, by_time
from models.estimators.intervals import fit_intervals
from models.estimators.line import rounded
from models.estimators.season import Level, believed, mean_ratio, year_before
from models.estimators.trees import PARAMETERS
from models.measures.metrics import RANKING
from models.spec import Array, FitContext

Learners = dict[str, BlendPart]


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
        chosen, measures = _choose(recipe, tried, holdouts, x, y)
        weights = recipe.candidates[chosen]
        blends = [_blend(recipe, learners, weights) for learners in tried]
        final = _blend(recipe, _learn_all(recipe, weights, x, y), weights)
        final = replace(final, chosen={"candidate": chosen, "by_time": timed, "inner": measures})
        if self.kind == "probability":
            return _as_probability(final, blends, holdouts, x, y)
        return _as_money(final, blends, holdouts, x, y, context)


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


def _learn_abreast(recipe: Recipe, holdouts: Sequence[ValidationSplit], x: Array, y: Array) -> list[Learners]:
    """Fit every part of every candidate on the training rows of each split."""
    names = list(dict.fromkeys(name for parts in recipe.candidates.values() for name in parts))

    def learn(holdout: ValidationSplit) -> Learners:
        return _learn_all(recipe, names, x[holdout.learnt], y[holdout.learnt])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(learn, holdouts))


def _blend(recipe: Recipe, learners: Learners, weights: Mapping[str, float]) -> FittedBlend:
    """The blend of fitted parts, not yet calibrated."""
    parts = {name: replace(learners[name], weight=weight) for name, weight in weights.items()}
    return FittedBlend(recipe.kind, parts, 1.0, 0.0)


def _choose(
    recipe: Recipe, tried: Sequence[Learners], holdouts: Sequence[ValidationSplit], x: Array, y: Array
) -> tuple[str, dict[str, float]]:
    """The candidate that ranks best on average over the splits, and the mean measure of each candidate."""
    _, measure = RANKING[recipe.kind]
    measures = {}
    for name, weights in recipe.candidates.items():
        scores = [
            _blend(recipe, learners, weights).raw(x[h.held_out])
            for learners, h in zip(tried, holdouts, strict=True)
        ]
        measures[name] = rounded(
            float(np.mean([measure(y[h.held_out], s) for h, s in zip(holdouts, scores, strict=True)]))
        )
    return max(measures, key=lambda name: measures[name]), measures


def _as_probability(
    final: FittedBlend, blends: Sequence[FittedBlend], holdouts: Sequence[ValidationSplit], x: Array, y: Array
) -> FittedBlend:
    """Set the slope and the mean intercept over the splits from held-out rows."""
    raw = [blend.raw(x[h.held_out]) for blend, h in zip(blends, holdouts, strict=True)]
    slope, intercepts = common_line("probability", [y[h.held_out] for h in holdouts], raw)
    return replace(final, slope=rounded(slope), intercept=rounded(float(intercepts.mean())))


def _as_money(
    final: FittedBlend, blends: Sequence[FittedBlend], holdouts: Sequence[ValidationSplit],
    x: Array, y: Array, context: FitContext | None,
) -> FittedBlend:  # fmt: skip
    """Set the slope and the level from held-out rows and the previous year, then fit intervals."""
    raw = [blend.raw(x[h.held_out]) for blend, h in zip(blends, holdouts, strict=True)]
    outcome = [y[h.held_out] for h in holdouts]
    slope = rounded(common_line("money", outcome, raw)[0])
    predicted = [np.exp(slope * r) for r in raw]
    levels = [
        _level(blend, slope, x, y, context, h.learnt, h.day)
        for blend, h in zip(blends, holdouts, strict=True)
    ]
    exponent = believed(levels, [float(o.sum()) for o in outcome], [float(p.sum()) for p in predicted])
    corrected = [o.factor(exponent) * p for o, p in zip(levels, predicted, strict=True)]
    drift = mean_ratio(outcome, corrected)
    today = None if context is None else context.today
    now = _level(final, slope, x, y, context, np.arange(len(y)), today)
    return replace(
        final,
        slope=slope,
        intercept=rounded(float(np.log(drift * now.factor(exponent)))),
        chosen=dict(final.chosen)
        | {"year_before": now.year_before, "year_before_exponent": exponent, "drift": rounded(drift)},
        intervals=fit_intervals(np.concatenate(outcome), drift * np.concatenate(corrected)),
    )


def _level(
    blend: FittedBlend, slope: float, x: Array, y: Array, context: FitContext | None,
    rows: NDArray[np.intp], day: int | None,
) -> Level:  # fmt: skip
    usual = float(y[rows].sum() / np.exp(slope * blend.raw(x[rows])).sum())
    return Level(usual, None if context is None else year_before(context, context.days[rows], day))
