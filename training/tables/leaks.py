"""Leaks: columns that nearly determine the outcome, alone or together, most likely recorded after it.

A single column is found by its own ranking (:mod:`training.tables.single_columns`). A set exists only if all
columns together rank rows outside of the fit nearly perfectly; they are then reduced to the few that suffice.
Two learners rank: trees, which read groups of flags and combinations, and a weighted sum, which reads sums
and differences of amounts that trees only approximate.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.estimator import Array
from models.estimators.trees import CalibratedTrees, MoneyTrees, grow
from models.registry.encoding import Column
from training.evaluation.evaluate import RANKING
from training.tables import single_columns
from training.tables.holdouts import Holdout, folds
from training.tables.single_columns import NEARLY_DECIDES

MAX_ROWS = 5_000  # more do not change whether a measure is near 1
MAX_SETS = 5
_ROUNDS, _RIDGE, _HALVES, _SEED = 60, 1e-6, 2, 7
_PREFIXES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_OPTIONS = ("--drop", "--confirm")
Ranker = Callable[[list[int], Holdout], tuple[Array, Array]]
"""From columns and a split: the scores of the test rows, and the importance of each column."""


@dataclass(frozen=True)
class Leak:
    """Columns that nearly determine the outcome together.

    Attributes:
        measure: the ranking measure of these columns alone, on rows outside of the fit.
    """

    columns: tuple[str, ...]
    measure: float

    @property
    def names(self) -> str:
        """The columns in words."""
        *others, last = self.columns
        return f"{', '.join(others)} and {last}" if others else last

    def words(self, target: str, measure: str) -> str:
        """What is wrong with the columns, and what to do."""
        drop, confirm = (" ".join(f"{option} {name}" for name in self.columns) for option in _OPTIONS)
        if len(self.columns) == 1:
            return (
                f"{self.names} alone nearly decides {target}, so was most likely written down after it;"
                f" train with {drop}, or with {confirm} if it is known in time"
            )
        return (
            f"{self.names} together nearly decide {target} ({measure} {self.measure:.3f}), so at least one"
            f" was most likely written down after it; train with --drop for each such column ({drop}), or"
            f" with {confirm} if all are known in time"
        )


@dataclass(frozen=True)
class LeakSearch:
    """The training rows in which leaks are searched, and the rankings by some columns.

    Attributes:
        kind: ``probability`` or ``money``.
        x: a row per customer, a column per feature.
    """

    kind: str
    columns: tuple[Column, ...]
    x: Array
    y: Array

    def measure(self, ranker: Ranker, columns: list[int]) -> tuple[float, Array]:
        """The ranking measure on rows outside of the fits, and the importance of each column."""
        _, ranking = RANKING[self.kind]
        results = [(half, *ranker(columns, half)) for half in folds(self.y, _HALVES)]
        measures = [ranking(self.y[half.test], score) for half, score, _ in results]
        return float(np.mean(measures)), np.mean([importance for *_, importance in results], axis=0)

    def trees(self, columns: list[int], half: Holdout) -> tuple[Array, Array]:
        """A :data:`Ranker` by trees."""
        usual = CalibratedTrees() if self.kind == "probability" else MoneyTrees()
        parameters = usual.parameters | {"learning_rate": 0.1, "min_data_in_leaf": 20}
        of_text = [i for i, column in enumerate(columns) if self.columns[column].dtype == "string"]
        x = self.x[:, columns]
        booster = grow(parameters, _ROUNDS, x[half.fit], self.y[half.fit], of_text)
        score = np.asarray(booster.predict(x[half.test], raw_score=True, num_threads=1))
        return score, booster.feature_importance("gain")

    def weighted_sum(self, columns: list[int], half: Holdout) -> tuple[Array, Array]:
        """A :data:`Ranker` by least squares; a category counts as its mean outcome, a missing value as the
        mean.

        Of a 0/1 outcome this is Fisher's linear discriminant.
        """
        z = np.empty((len(self.x), len(columns)))
        for i, position in enumerate(columns):
            values = self.x[:, position]
            if self.columns[position].dtype == "string":
                bins = single_columns.fit(self.columns[position], values[half.fit], self.y[half.fit])
                values = bins.mean_outcome(values)
            mean = np.nanmean(values[half.fit]) if np.isfinite(values[half.fit]).any() else 0.0
            z[:, i] = np.where(np.isfinite(values), values, mean) - mean
        scale = z[half.fit].std(axis=0)
        z = z / np.where(scale > 0, scale, 1.0)
        fitted, y = z[half.fit], self.y[half.fit]
        squares = fitted.T @ fitted + _RIDGE * len(y) * np.eye(len(columns))
        weights = np.linalg.solve(squares, fitted.T @ (y - y.mean()))
        return z[half.test] @ weights, np.abs(weights)


def find_leaks(
    kind: str, columns: Sequence[Column], x: Array, y: Array, alone: Mapping[str, float],
    confirmed: Collection[str] = (), tested: float = 0.0,
) -> tuple[Leak, ...]:  # fmt: skip
    """The leaks among the columns of the training rows; each column is in one at most.

    Args:
        alone: the ranking measure of each column alone.
        confirmed: columns that are known before the outcome. They are no leaks, but a set of others may
            need them; there is no such set if they suffice by themselves.
        tested: the model's own measure on the rows held out. If it is too good to be true, a set is named
            even if the training rows alone show none.
    """
    leaks = [
        Leak((name,), measure)
        for name, measure in alone.items()
        if measure >= NEARLY_DECIDES and name not in confirmed
    ]
    rows = _sampled(kind, columns, x, y)
    sure = [i for i, column in enumerate(columns) if column.name in confirmed]
    if sure and max(rows.measure(ranker, sure)[0] for ranker in _rankers(rows)) >= NEARLY_DECIDES:
        return tuple(leaks)
    single = {leak.columns[0] for leak in leaks}
    pool = [i for i, column in enumerate(columns) if column.name not in single]
    while len(leaks) < MAX_SETS + len(single) and pool:
        leak = _smallest_set(rows, pool, 0.0 if leaks else tested)
        if leak is None or set(leak.columns) <= set(confirmed):
            break
        leaks.append(leak)
        pool = [i for i in pool if columns[i].name not in leak.columns]
    return tuple(leaks)


def words_about(leaks: Sequence[Leak], target: str, measure: str) -> str:
    """What the leaks are and what to do about them, for the message of a failed gate."""
    return "; ".join(leak.words(target, measure) for leak in leaks)


def _sampled(kind: str, columns: Sequence[Column], x: Array, y: Array) -> LeakSearch:
    sample = np.sort(np.random.default_rng(_SEED).permutation(len(y))[:MAX_ROWS])
    return LeakSearch(kind, tuple(columns), x[sample], y[sample])


def _rankers(rows: LeakSearch) -> tuple[Ranker, Ranker]:
    return rows.weighted_sum, rows.trees


def _smallest_set(rows: LeakSearch, pool: list[int], tested: float) -> Leak | None:
    """The smaller of the sets that the learners find; None if neither ranks nearly perfectly."""
    sets = []
    for ranker in _rankers(rows):
        reached, importance = rows.measure(ranker, pool)
        bound = NEARLY_DECIDES if reached >= NEARLY_DECIDES else reached - 0.01
        if max(reached, tested) >= NEARLY_DECIDES:
            chosen, measure = _reduced(rows, ranker, [pool[i] for i in np.argsort(-importance)], bound)
            sets.append((measure < NEARLY_DECIDES, len(chosen), -measure, chosen))
    if not sets:
        return None
    _, _, measure, chosen = min(sets)
    return Leak(tuple(rows.columns[i].name for i in sorted(chosen)), -measure)


def _reduced(
    rows: LeakSearch, ranker: Ranker, by_importance: list[int], bound: float
) -> tuple[list[int], float]:
    """The first columns that reach the bound, without those that are not needed for it; and their measure."""
    chosen = by_importance[: _PREFIXES[-1]]
    for size in _PREFIXES:
        if size >= len(by_importance) or rows.measure(ranker, by_importance[:size])[0] >= bound:
            chosen = by_importance[:size]
            break
    for column in reversed(chosen.copy()):
        fewer = [other for other in chosen if other != column]
        if fewer and rows.measure(ranker, fewer)[0] >= bound:
            chosen = fewer
    return chosen, rows.measure(ranker, chosen)[0]
