"""Logged predictions whose outcome is known by now."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

import records
from core.calendar import day_of, micros, midnight
from core.errors import NothingThere
from core.home import Home
from events.identity import Identity, survivors
from models.estimator import Array
from models.questions import every
from models.questions.outcomes import labels_of
from models.registry.bundle import FittedModel
from monitoring.levels import LevelReport, check_level


def level_of(home: Home, champion: FittedModel, days: int) -> LevelReport | None:
    """The level of a model's predictions in the last ``days`` whose horizon has ended.

    Those of all versions count, since a version is often replaced before its horizon ends. A customer who was
    merged into another since is that customer. None for a model that this Patron does not define.
    """
    model = every().get(champion.name)
    if model is None:
        return None
    horizon_days, now = int(champion.manifest["horizon_days"]), home.shop().now()
    scored = _scored(home, champion.name, now - timedelta(days=horizon_days), days)
    rows = _rows(home, _with_bounds(scored, champion), now)
    if len(rows):
        known = labels_of(home, model, horizon_days, rows[["customer_key", "as_of"]], now)
        rows = rows.merge(known, on=["customer_key", "as_of"], validate="1:1")
    else:
        rows = rows.assign(label=pd.Series(dtype="float64"))
    return check_level(champion.name, model.kind, horizon_days, rows)


def _scored(home: Home, name: str, until: datetime, days: int) -> pd.DataFrame:
    """The predictions of a model in the ``days`` before ``until``.

    Columns: ``customer_key``, ``day``, ``score``, ``version``; ``low`` and ``high`` if the log has them.
    """
    empty = pd.DataFrame({"customer_key": [], "day": [], "score": [], "version": []})
    try:
        vectors = records.read(home, until - timedelta(days=days), until).vectors
    except NothingThere:
        return empty
    if f"{name}.score" not in vectors:
        return empty
    before = vectors["day"] < day_of(until, home.shop().time_zone)
    scored = vectors[vectors[f"{name}.score"].notna() & before]
    logged = {what: f"{name}.{what}" for what in ("score", "version", "low", "high")}
    own = {what: scored[column] for what, column in logged.items() if column in scored}
    return pd.DataFrame({"customer_key": scored["customer_key"], "day": scored["day"], **own})


def _with_bounds(scored: pd.DataFrame, champion: FittedModel) -> pd.DataFrame:
    """Predictions with ``low`` and ``high``: as logged, else the champion's of its own, else missing."""
    score = scored["score"].to_numpy(np.float64)
    bounds = champion.interval(score)
    if bounds is None:
        return scored.assign(low=np.nan, high=np.nan)
    own = (scored["version"].astype(str) == champion.version).to_numpy()

    def bound(name: str, computed: Array) -> Array:
        computed = np.where(own, computed, np.nan)
        if name not in scored:
            return computed
        logged = scored[name].to_numpy(np.float64)
        return np.where(np.isnan(logged), computed, logged)

    return scored.assign(low=bound("low", bounds[0]), high=bound("high", bounds[1]))


def _rows(home: Home, scored: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """The first prediction of each customer, and of those who were merged the survivor's own if of that day.

    ``as_of`` is the midnight after it.
    """
    merged = survivors(merge for merge in Identity(home).merges() if merge.at_us <= micros(now))
    keys = scored["customer_key"].astype("int64")
    people = keys.map(lambda key: merged.get(key, key))
    scored = scored.assign(customer_key=people, of_merged=keys != people)
    ordered = scored.sort_values(["day", "of_merged"], kind="stable")
    first = ordered.drop_duplicates("customer_key").reset_index(drop=True)
    zone = home.shop().time_zone
    moments = {day: pd.Timestamp(midnight(int(day) + 1, zone)) for day in first["day"].unique()}
    as_of = pd.to_datetime(first["day"].map(moments), utc=True).astype("datetime64[us, UTC]")
    numbers = first[["score", "low", "high"]].astype("float64")
    return pd.DataFrame({"customer_key": first["customer_key"].astype("int64"), "as_of": as_of}).join(numbers)
