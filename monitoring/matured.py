"""Logged predictions whose outcome is known by now."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd

import records
from core.calendar import day_of, midnight
from core.errors import NothingThere
from core.home import Home
from models.questions import every
from models.questions.outcomes import labels_of
from models.registry.bundle import FittedModel
from monitoring.levels import LevelReport, check_level


def level_of(home: Home, champion: FittedModel, days: int) -> LevelReport | None:
    """The level of a model's predictions in the last ``days`` whose horizon has ended.

    Those of all versions count, since a version is often replaced before its horizon ends. None for a model
    that this Patron does not define.
    """
    model = every().get(champion.name)
    if model is None:
        return None
    horizon_days, now = int(champion.manifest["horizon_days"]), home.shop().now()
    rows = _rows(home, champion.name, now - timedelta(days=horizon_days), days)
    if len(rows):
        known = labels_of(home, model, horizon_days, rows[["customer_key", "as_of"]], now)
        rows = rows.merge(known, on=["customer_key", "as_of"], validate="1:1")
    else:
        rows = rows.assign(label=pd.Series(dtype="float64"))
    return check_level(champion.name, model.kind, horizon_days, rows, champion.interval)


def _rows(home: Home, name: str, until: datetime, days: int) -> pd.DataFrame:
    """The first prediction of each customer in the ``days`` before; ``as_of`` is the midnight after it."""
    zone = home.shop().time_zone
    empty = pd.DataFrame({"customer_key": [], "as_of": [], "score": []})
    try:
        vectors = records.read(home, until - timedelta(days=days), until).vectors
    except NothingThere:
        return empty
    if f"{name}.score" not in vectors:
        return empty
    scored = vectors[vectors[f"{name}.score"].notna() & (vectors["day"] < day_of(until, zone))]
    first = scored.sort_values("day", kind="stable").drop_duplicates("customer_key")
    moments = {day: pd.Timestamp(midnight(int(day) + 1, zone)) for day in first["day"].unique()}
    as_of = pd.to_datetime(first["day"].map(moments), utc=True).astype("datetime64[us, UTC]")
    return pd.DataFrame(
        {
            "customer_key": first["customer_key"].astype("int64"),
            "as_of": as_of,
            "score": first[f"{name}.score"].astype("float64"),
        }
    ).reset_index(drop=True)
