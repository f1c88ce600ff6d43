"""A model as it stood at its test's moment and some months before, and what it said from then on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from core.calendar import day_of
from features.groups import FEATURES
from features.offline import populations
from features.workspace import Workspace
from models.registry.bundle import FittedModel
from models.spec import Array, CustomerModel
from training.customers.dataset import FEWEST_ORIGINS, Dataset, Split, as_known, gather
from training.customers.fitting import columns_of, fit, fitted_for, moments_of, refuse_if_poor
from training.evaluation import slices
from training.evaluation.compare import TestSet
from training.evaluation.promotion_checks import OURS

MONTHS = 3
"""So many months before the test an older fit is made, to see how it ages."""


@dataclass(frozen=True)
class Backtest:
    """A model fitted on what was known at the test's moment alone.

    Attributes:
        model: at the horizon that the history allows.
        complement: whether the fit answers as 1 − its score.
        known: the rows it learnt from, of the recipe behind the model.
        exam: everyone asked about at the test's moment: features, those of slices, ``label`` and ``score``.
        later: the moments with features from the test's on, the test's first.
    """

    model: CustomerModel
    complement: bool
    parts: Split
    known: Dataset
    fitted: FittedModel
    exam: pd.DataFrame
    later: tuple[datetime, ...]


@dataclass(frozen=True)
class OlderFit:
    """The same recipe fitted on what was known some months before the test.

    Attributes:
        fitted_at: the moment.
        frame: everyone asked about at each month from then up to the test's, as ``Lookback.exam``.
    """

    fitted_at: datetime
    frame: pd.DataFrame


def look_back(workspace: Workspace, model: CustomerModel) -> Backtest:
    """Fit the model as training's test does, and score those it was tested on.

    Raises:
        PatronError: the history is too short, or there was nobody to learn from or to ask about.
    """
    parts = moments_of(workspace, model)
    model = replace(model, horizon=timedelta(days=parts.horizon_days), shorter_horizons=())
    recipe, _ = fitted_for(model)
    data = gather(workspace.store, recipe, parts.all, parts.horizon_days, workspace.snapshots.current)
    refuse_if_poor(model, data)
    return tested(workspace, model, parts, as_known(workspace.home, data, parts.fit, parts.test))


def tested(workspace: Workspace, model: CustomerModel, parts: Split, known: Dataset) -> Backtest:
    """The model fitted on what was known at the test's moment, and its scores of those asked about then.

    Args:
        model: at the horizon of ``parts``.
        known: the rows of the recipe of which the outcome was known at that moment.
    """
    _, complement = fitted_for(model)
    fitted = fit(known, complement, "test")
    exam = gather(
        workspace.store, asked_of(model), [parts.test], parts.horizon_days, workspace.snapshots.current
    ).frame
    stored = set(populations.origins(workspace.home))
    later = tuple(
        t
        for t in workspace.snapshots.as_ofs
        if t in stored and parts.test <= t <= workspace.snapshots.current
    )
    return Backtest(model, complement, parts, known, fitted, scored(fitted, exam), later)


def aged(workspace: Workspace, then: Backtest) -> OlderFit | None:
    """The recipe as it would have been ``MONTHS`` before the test; None where the history is too short."""
    parts, zone = then.parts, workspace.shop.time_zone
    days = parts.horizon_days
    months = parts.all[-1 - MONTHS :]
    first = months[0]
    learnt = [t for t in parts.all if day_of(t, zone) + days <= day_of(first, zone)]
    if len(months) <= MONTHS or len(learnt) < FEWEST_ORIGINS:
        return None
    known = as_known(workspace.home, then.known, learnt, first)
    if len(np.unique(known.y > 0)) < 2:
        return None
    fitted = fit(known, then.complement, "older")
    frame = gather(workspace.store, asked_of(then.model), months, days, workspace.snapshots.current).frame
    return OlderFit(first, scored(fitted, frame))


def asked_of(model: CustomerModel) -> CustomerModel:
    """The model as an exam asks it: with the features by which slices are told."""
    names = dict.fromkeys([*(f.name for f in model.features), *slices.FEATURES])
    own = {f.name: f for f in model.features}
    return replace(model, features=tuple(own.get(name) or FEATURES[name] for name in names))


def scored(fitted: FittedModel, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of features with the column ``score``."""
    return frame.assign(score=fitted.score(columns_of(frame)) if len(frame) else pd.Series(dtype="float64"))


def exams(then: Backtest, older: OlderFit | None, zone: str) -> tuple[TestSet, ...]:
    """The moments at which the recipe was asked for what nobody knew yet, the test's the last.

    Each holds the scores of ``OURS`` and of the baselines. Before the test's moment the older fit answers.
    """
    frames = [] if older is None else [part for _, part in older.frame.groupby("as_of", sort=True)][:-1]
    return tuple(_exam(then, frame.reset_index(drop=True), zone) for frame in [*frames, then.exam])


def _exam(then: Backtest, frame: pd.DataFrame, zone: str) -> TestSet:
    scores: dict[str, Array] = {OURS: frame["score"].to_numpy(np.float64)}
    for baseline in then.model.baselines:
        other = baseline.score(frame, then.parts.horizon_days).fillna(0)
        scores[baseline.name] = other.to_numpy(np.float64)
    day = frame["as_of"].iloc[0].tz_convert(zone).date().isoformat() if len(frame) else ""
    return TestSet(day, (), frame[["customer_key", "label", *slices.FEATURES]], scores)


def with_scores(ours: Sequence[TestSet], theirs: Sequence[TestSet], name: str) -> tuple[TestSet, ...]:
    """The exams with the scores that another recipe gave the same customers at the same moments."""
    return tuple(
        replace(mine, scores={**mine.scores, name: other.scores[OURS]})
        for mine, other in zip(ours, theirs, strict=True)
    )
