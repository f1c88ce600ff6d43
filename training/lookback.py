"""A model as it stood at its test's moment, and what it said of its customers from then on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pandas as pd

from features import populations
from features.home import Home
from features.snapshots import Built
from features.store import Store
from models.bundle import FittedModel
from models.spec import CustomerModel
from training.dataset import Split, gather
from training.pipeline import columns_of, fit, fitted_for, moments_of, refuse_if_poor


@dataclass(frozen=True)
class Lookback:
    """A model fitted on what was known at the test's moment alone.

    Attributes:
        model: at the horizon that the history allows.
        exam: everyone asked about at the test's moment: features, ``label`` and ``score``.
        later: the moments with features from the test's on, the test's first.
    """

    model: CustomerModel
    parts: Split
    fitted: FittedModel
    exam: pd.DataFrame
    later: tuple[datetime, ...]


def look_back(home: Home, model: CustomerModel, built: Built, store: Store) -> Lookback:
    """Fit the model as training's test does, and score those it was tested on.

    Raises:
        PatronError: the history is too short, or there was nobody to learn from or to ask about.
    """
    parts = moments_of(home, model, built)
    model = replace(model, horizon=timedelta(days=parts.horizon_days), shorter_horizons=())
    recipe, complement = fitted_for(model)
    known = gather(home, store, recipe, parts.fit, parts.horizon_days, parts.test)
    refuse_if_poor(recipe, known)
    fitted = fit(known, complement, "test")
    exam = gather(home, store, model, [parts.test], parts.horizon_days, built.current).frame
    stored = set(populations.origins(home))
    later = tuple(t for t in built.as_ofs if t in stored and parts.test <= t <= built.current)
    return Lookback(model, parts, fitted, scored(fitted, exam), later)


def scored(fitted: FittedModel, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of features with the column ``score``."""
    return frame.assign(score=fitted.score(columns_of(frame)) if len(frame) else pd.Series(dtype="float64"))
