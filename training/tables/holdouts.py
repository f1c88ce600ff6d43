"""Training and held-out rows of a table: by time if times are known, else at random.

The held-out test rows influence nothing. Choices (see ``configurations.py``) are made on inner splits of the
training rows, made the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from core.errors import PatronError
from models.estimator import Array
from training.evaluation.slices import MIN_OUTCOMES, enough
from training.tables.labelled import Labelled, Rows

HELD_OUT = 5  # one row in this many
INNER_FOLDS = 4
INNER_CUTS = (0.4, 0.6, 0.8, 1.0)  # shares of the time order that delimit the inner tests
SEED = 7


@dataclass(frozen=True)
class Holdout:
    """Training rows and held-out rows, by number from 0."""

    fit: Rows
    test: Rows


def hold_out(data: Labelled) -> Holdout:
    """The last fifth by time; a random fifth if times are not known.

    Customers of one moment stay together: those of the moment at the cut are held out.

    Raises:
        PatronError: the held-out part, or the rest, has too few outcomes.
    """
    if data.moments is None:
        holdout = folds(data.y, HELD_OUT)[0]
    else:
        holdout = earlier_and_later(data.moments, 1 - 1 / HELD_OUT)
    for rows, called in ((holdout.fit, "before it"), (holdout.test, "the last fifth")):
        if not enough(data.kind, data.y[rows]):
            having = int((data.y[rows] > 0).sum())
            raise PatronError(
                f"{data.table.place}: by time, {called} has {having:,} of {len(rows):,}"
                f" customers with a {data.target} above 0; it takes {MIN_OUTCOMES} with and without."
                " Give more history, or leave --time out"
            )
    return holdout


def inner(data: Labelled, rows: Rows) -> list[Holdout]:
    """Inner splits of some rows: forward in time if times are known, else random folds.

    Splits with too few test outcomes are left out, so there may be none.
    """
    y = data.y[rows]
    splits = folds(y, INNER_FOLDS) if data.moments is None else forward(data.moments[rows])
    usable = [s for s in splits if enough(data.kind, y[s.fit]) and enough(data.kind, y[s.test])]
    return [Holdout(rows[s.fit], rows[s.test]) for s in usable]


def folds(y: Array, count: int, seed: int = SEED) -> list[Holdout]:
    """Random folds, stratified by whether there is an outcome."""
    rng, fold = np.random.default_rng(seed), np.empty(len(y), np.int64)
    for rows in (np.flatnonzero(y > 0), np.flatnonzero(y <= 0)):
        fold[rng.permutation(rows)] = np.arange(len(rows)) % count
    return [Holdout(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(count)]


def earlier_and_later(moments: Array, share: float) -> Holdout:
    """The rows before the moment that ``share`` of all rows precede, and the other rows."""
    cut = np.sort(moments)[int(len(moments) * share)]
    return Holdout(np.flatnonzero(moments < cut), np.flatnonzero(moments >= cut))


def forward(moments: Array) -> list[Holdout]:
    """Train on all rows before a moment, test on those up to the next one; ``INNER_CUTS`` are the moments."""
    ordered = np.sort(moments)
    cuts = [*(ordered[int(len(ordered) * share)] for share in INNER_CUTS[:-1]), np.inf]
    return [
        Holdout(np.flatnonzero(moments < start), np.flatnonzero((moments >= start) & (moments < end)))
        for start, end in pairwise(cuts)
    ]
