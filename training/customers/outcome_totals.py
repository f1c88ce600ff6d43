"""Totals of outcomes over past windows, for the customers of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import numpy as np
import pandas as pd

from core.calendar import day_of, midnight
from core.home import Home
from events import lake
from models.estimators.level import YEAR_DAYS
from models.outcome_totals import OutcomeTotals
from models.outliers import cap_of
from models.questions.outcomes import labels_of
from models.spec import CustomerModel
from training.customers.sample import CustomerSample


def outcome_totals(
    home: Home, model: CustomerModel, horizon_days: int, rows: pd.DataFrame, known_at: datetime,
    sample: CustomerSample | None = None,
) -> OutcomeTotals | None:  # fmt: skip
    """The totals from which the level of a fit is learnt; None if the model has none.

    Args:
        rows: the eligible customers of each moment of the fit, and of ``known_at``; the columns of ``KEYS``.
        known_at: the moment of the fit.
        sample: the sample whose rows these are, except for ``known_at``; the totals are those of everyone.
    """
    first_day = lake.metadata(home).first_day
    if model.window_total is None or first_day is None:
        return None
    zone = home.shop().time_zone
    today = day_of(known_at, zone)
    day_of_moment = {
        moment: day_of(moment.to_pydatetime(), zone) for moment in rows["as_of"].drop_duplicates()
    }
    covered = {moment: day for moment, day in day_of_moment.items() if day - horizon_days >= first_day}
    starts = {moment: pd.Timestamp(midnight(day - horizon_days, zone)) for moment, day in covered.items()}
    labels = _labels_from(home, model, horizon_days, rows, known_at, starts)
    outcomes: dict[int, float] = {}
    if sample is None:
        counts, sums = rows.groupby("as_of").size(), labels.groupby("as_of")["label"].sum()
        customers = {day: int(counts[moment]) for moment, day in day_of_moment.items()}
        before = {day: float(sums[starts[moment]]) for moment, day in covered.items()}
    else:
        cap = cap_of(labels["label"].to_numpy(np.float64)) if model.kind == "money" else float("inf")
        totals = partial(sample.totals_of_everyone, home, model, horizon_days, known_at=known_at, cap=cap)
        now, then = totals(windows={moment: moment for moment in day_of_moment}), totals(windows=starts)
        customers = {day: now[moment].customers for moment, day in day_of_moment.items()}
        before = {day: then[moment].outcome for moment, day in covered.items()}
        outcomes = {day: now[moment].outcome for moment, day in day_of_moment.items() if moment != known_at}
    wanted = {
        day - back
        for day in day_of_moment.values()
        for back in (0, horizon_days, YEAR_DAYS, YEAR_DAYS + horizon_days)
    }
    windows = sorted(day for day in wanted if first_day <= day <= today - horizon_days)
    events = lake.read(home, lake.backend_of(home)).known_at(known_at)
    shop = model.window_total(events, windows, horizon_days) if windows else {}
    cohorts = model.cohorts(events, first_day) if model.cohorts is not None else None
    return OutcomeTotals(before, shop, customers, cohorts, outcomes)


def _labels_from(
    home: Home, model: CustomerModel, horizon_days: int, rows: pd.DataFrame, known_at: datetime,
    starts: Mapping[pd.Timestamp, pd.Timestamp],
) -> pd.DataFrame:  # fmt: skip
    """The outcomes of the customers of some moments, in windows that start at others."""
    if not starts:
        return pd.DataFrame({"as_of": [], "label": []})
    earlier = rows[rows["as_of"].isin(list(starts))]
    moments = earlier["as_of"].map(starts).dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return labels_of(home, model, horizon_days, earlier.assign(as_of=moments), known_at)
