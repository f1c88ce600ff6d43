"""Backtest of a customer model: fit it as of an earlier moment, and score the customers as of later ones.

The test is at the last month with known outcomes, of a fit on the data known then. An older fit shows aging.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from core.calendar import day_of
from core.home import Home
from events import lake
from features.groups import FEATURES, features_of
from features.offline import populations
from features.workspace import Workspace
from models.estimator import Array
from models.registry.bundle import FittedModel
from models.spec import CustomerModel
from training.customers.dataset import (
    Dataset,
    as_known,
    check_enough,
    columns_of,
    gather,
    gather_for_fit,
)
from training.customers.horizon import with_horizon
from training.customers.sample import CustomerSample
from training.customers.split import MIN_FIT_MOMENTS, Split, split
from training.evaluation import slices
from training.evaluation.compare import TestSet
from training.evaluation.promotion_checks import OURS

OLDER_FIT_MONTHS = 3
"""The number of months between the older fit and the test."""


@dataclass(frozen=True)
class Preparation:
    """The input of a fit and its test.

    Attributes:
        model: with a horizon that the history allows.
        recipe: the fitted model, see :func:`recipe_of`.
        data: the recipe's rows at every moment of ``split.all``, with the labels known today; of many
            customers, those of a sample (:mod:`training.customers.sample`).
    """

    model: CustomerModel
    recipe: CustomerModel
    complement: bool
    split: Split
    data: Dataset


@dataclass(frozen=True)
class OlderFit:
    """The recipe fitted ``OLDER_FIT_MONTHS`` before the test.

    Attributes:
        frame: the customers at each month from ``fitted_at`` to the test, as in ``Backtest.frame``.
    """

    fitted_at: datetime
    frame: pd.DataFrame


@dataclass(frozen=True)
class Backtest:
    """A model fitted on the data known at the test's moment, and its scores of that moment's customers.

    Attributes:
        model: at the split's horizon.
        data: the recipe's rows with the labels known at that moment.
        frame: a row per customer: features, the features of slices, ``label`` and ``score``.
        later: the moments with features from the test's on, the test's first.
        older: None if the history is too short for an older fit.
    """

    model: CustomerModel
    split: Split
    data: Dataset
    fitted: FittedModel
    frame: pd.DataFrame
    later: tuple[datetime, ...]
    older: OlderFit | None

    def test_sets(self, zone: str) -> tuple[TestSet, ...]:
        """The customers of each moment with the scores ``OURS`` and those of the baselines, the test's last.

        Before the test's moment the scores are those of the older fit. No fit knew its test outcomes.
        """
        older = [] if self.older is None else [f for _, f in self.older.frame.groupby("as_of", sort=True)]
        frames = [*(frame.reset_index(drop=True) for frame in older[:-1]), self.frame]
        return tuple(_test_set(self, frame, zone) for frame in frames)


def recipe_of(model: CustomerModel) -> tuple[CustomerModel, bool]:
    """The model to fit, and whether the score is the complement (1 − its score).

    A model with an opposite is always fitted as that opposite, at its own horizon. If the horizons coincide,
    the fits are therefore the same, and the two models never contradict each other.
    """
    if model.complement_of is not None:
        return replace(model.complement_of, horizon=model.horizon, shorter_horizons=()), True
    return model, False


def split_history(workspace: Workspace, model: CustomerModel) -> Split:
    """The monthly snapshots that a model is fitted on and tested at.

    Raises:
        PatronError: the history is too short.
    """
    months, now = set(populations.origins(workspace.home)), workspace.snapshots.current
    monthly = [t for t in workspace.snapshots.as_ofs if t in months and t <= now]
    zone = workspace.shop.time_zone
    events = lake.read(workspace.home, lake.backend_of(workspace.home))
    return split(model, monthly, now, zone, populations.sizes(events, monthly, zone))


def prepare(workspace: Workspace, model: CustomerModel) -> Preparation:
    """Split the history of a model, with the traits that the shop declares, and read its rows.

    Raises:
        PatronError: the history is too short, or customers or outcomes are too few.
    """
    model = with_declared_traits(workspace.home, model)
    moments = split_history(workspace, model)
    model = with_horizon(model, moments.horizon_days)
    recipe, complement = recipe_of(model)
    now, sample = workspace.snapshots.current, CustomerSample.of(workspace.snapshots)
    data = gather_for_fit(workspace.store, recipe, moments.all, moments.horizon_days, now, sample)
    check_enough(model, data)
    return Preparation(model, recipe, complement, moments, data)


def backtest(workspace: Workspace, prepared: Preparation) -> Backtest:
    """Fit the recipe on the data known at the test's moment, and score the customers of that moment."""
    data = as_known(workspace.store, prepared.data, prepared.split.fit, prepared.split.test)
    return backtest_on(workspace, prepared.model, prepared.split, data)


def backtest_on(workspace: Workspace, model: CustomerModel, split: Split, data: Dataset) -> Backtest:
    """Backtest the model on given rows.

    Args:
        model: at the horizon of ``split``.
        data: rows of the model's recipe with the labels known at the test's moment.
    """
    fitted = fit(data, model.complement_of is not None, "test")
    tested = with_slice_features(model)
    now, days = workspace.snapshots.current, split.horizon_days
    frame = gather(workspace.store, tested, [split.test], days, now, data.sample).frame
    stored = set(populations.origins(workspace.home))
    later = tuple(t for t in workspace.snapshots.as_ofs if t in stored and split.test <= t <= now)
    older = _older_fit(workspace, tested, split, data)
    return Backtest(model, split, data, fitted, with_scores(fitted, frame), later, older)


def _older_fit(workspace: Workspace, tested: CustomerModel, split: Split, data: Dataset) -> OlderFit | None:
    """The recipe fitted ``OLDER_FIT_MONTHS`` before the test; None if the history is too short for it."""
    zone, days = workspace.shop.time_zone, split.horizon_days
    months = split.all[-1 - OLDER_FIT_MONTHS :]
    first = months[0]
    known = [t for t in split.all if day_of(t, zone) + days <= day_of(first, zone)]
    if len(months) <= OLDER_FIT_MONTHS or len(known) < MIN_FIT_MOMENTS:
        return None
    older = as_known(workspace.store, data, known, first)
    if len(np.unique(older.y > 0)) < 2:
        return None
    fitted = fit(older, tested.complement_of is not None, "older")
    now = workspace.snapshots.current
    frame = gather(workspace.store, tested, months, days, now, data.sample).frame
    return OlderFit(first, with_scores(fitted, frame))


def fit(data: Dataset, complement: bool, version: str) -> FittedModel:
    """Fit the model's estimator on all rows of a dataset."""
    columns = data.columns()
    categorical = [i for i, column in enumerate(columns) if column.dtype == "string"]
    customers = data.frame["customer_key"].to_numpy(np.int64)
    fitted = data.model.estimator().fit(
        data.x(columns), data.y, customers, categorical, data.fit_context(columns)
    )
    manifest: dict[str, Any] = {
        "model": data.model.name,
        "features": [asdict(column) for column in columns],
        "eligible": [condition.as_dict() for condition in data.model.eligible],
        "complement": complement,
    }
    if data.sample is not None:
        manifest["sample"] = {"share": data.sample.share}
    return FittedModel(version, manifest, fitted, {})


def with_declared_traits(home: Home, model: CustomerModel) -> CustomerModel:
    """The model with the traits that the shop declares added to its features, unless they are among them."""
    declared = tuple(feature for name, feature in features_of(home).items() if name not in FEATURES)
    opposite = model.complement_of
    return replace(
        model,
        features=tuple(dict.fromkeys((*model.features, *declared))),
        complement_of=opposite and with_declared_traits(home, opposite),
    )


def with_slice_features(model: CustomerModel) -> CustomerModel:
    """The model with the features that define slices added to its own."""
    names = dict.fromkeys([*(f.name for f in model.features), *slices.FEATURES])
    own = {f.name: f for f in model.features}
    return replace(model, features=tuple(own.get(name) or FEATURES[name] for name in names))


def with_scores(fitted: FittedModel, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of features with the column ``score``."""
    return frame.assign(score=fitted.score(columns_of(frame)) if len(frame) else pd.Series(dtype="float64"))


def add_scores(ours: Sequence[TestSet], theirs: Sequence[TestSet], name: str) -> tuple[TestSet, ...]:
    """The test sets, with another recipe's scores of the same customers at the same moments."""
    return tuple(
        replace(mine, scores={**mine.scores, name: other.scores[OURS]})
        for mine, other in zip(ours, theirs, strict=True)
    )


def _test_set(test: Backtest, frame: pd.DataFrame, zone: str) -> TestSet:
    scores: dict[str, Array] = {OURS: frame["score"].to_numpy(np.float64)}
    for baseline in test.model.baselines:
        score = baseline.score(frame, test.split.horizon_days).fillna(0)
        scores[baseline.name] = score.to_numpy(np.float64)
    day = frame["as_of"].iloc[0].tz_convert(zone).date().isoformat() if len(frame) else ""
    return TestSet(day, (), frame[["customer_key", "label", *slices.FEATURES]], scores)
