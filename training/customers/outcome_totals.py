"""Totals of outcomes over past windows, for the customers of a fit."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from core.calendar import day_of, midnight
from core.home import Home
from events import lake
from models.estimators.level import YEAR_DAYS
from models.outcome_totals import OutcomeTotals
from models.questions.outcomes import labels_of
from models.spec import CustomerModel


def outcome_totals(
    home: Home, model: CustomerModel, horizon_days: int, rows: pd.DataFrame, known_at: datetime
) -> OutcomeTotals | None:
    """The totals from which the level of a fit is learnt; None if the model has none.

    Args:
        rows: the eligible customers of each moment of the fit, and of ``known_at``; the columns of ``KEYS``.
        known_at: the moment of the fit.
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
    before: dict[int, float] = {}
    if covered:
        earlier = rows[rows["as_of"].isin(list(covered))]
        moments = earlier["as_of"].map(starts).dt.tz_convert("UTC").astype("datetime64[us, UTC]")
        labels = labels_of(home, model, horizon_days, earlier.assign(as_of=moments), known_at)
        sums = labels.groupby("as_of")["label"].sum()
        before = {day: float(sums[starts[moment]]) for moment, day in covered.items()}
    wanted = {
        day - back
        for day in day_of_moment.values()
        for back in (0, horizon_days, YEAR_DAYS, YEAR_DAYS + horizon_days)
    }
    windows = sorted(day for day in wanted if first_day <= day <= today - horizon_days)
    events = lake.read(home, lake.backend_of(home)).known_at(known_at)
    counts = rows.groupby("as_of").size()
    return OutcomeTotals(
        before,
        model.window_total(events, windows, horizon_days) if windows else {},
        {day: int(counts[moment]) for moment, day in day_of_moment.items()},
        model.cohorts(events, first_day) if model.cohorts is not None else None,
    )
