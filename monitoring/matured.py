"""Logged predictions whose outcome is known by now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa

import records
from core.calendar import day_of, micros, midnight
from core.errors import NothingThere
from core.home import Home
from events.identity import Identity, survivors
from models.questions import every
from models.questions.outcomes import labels_of
from models.registry.bundle import FittedModel
from monitoring.levels import LevelReport, check_level

_SCORED = ibis.schema(
    {
        "customer_key": "int64", "day": "int32", "score": "float64", "version": "string", "low": "float64",
        "high": "float64",
    }
)  # fmt: skip


def level_of(home: Home, champion: FittedModel, days: int, backend: Any) -> LevelReport | None:
    """The level of a model's predictions in the last ``days`` whose horizon has ended.

    Those of all versions count, since a version is often replaced before its horizon ends. A customer who was
    merged into another since is that customer. None for a model that this Patron does not define.

    Args:
        backend: DuckDB or Spark, which reads the log.
    """
    model = every().get(champion.name)
    if model is None:
        return None
    horizon_days, now = int(champion.manifest["horizon_days"]), home.shop().now()
    scored = _scored(home, champion.name, now - timedelta(days=horizon_days), days, backend)
    rows = _with_bounds(backend.to_pyarrow(_first(home, scored, now)).to_pandas(), champion)
    zone = home.shop().time_zone
    moments = {day: pd.Timestamp(midnight(int(day) + 1, zone)) for day in rows["day"].unique()}
    as_of = pd.to_datetime(rows["day"].map(moments), utc=True).astype("datetime64[us, UTC]")
    rows = rows.assign(as_of=as_of)[["customer_key", "as_of", "score", "low", "high"]]
    if len(rows):
        known = labels_of(home, model, horizon_days, rows[["customer_key", "as_of"]], now)
        rows = rows.merge(known, on=["customer_key", "as_of"], validate="1:1")
    else:
        rows = rows.assign(label=pd.Series(dtype="float64"))
    return check_level(champion.name, model.kind, horizon_days, rows)


def _scored(home: Home, name: str, until: datetime, days: int, backend: Any) -> ir.Table:
    """The predictions of a model in the ``days`` before ``until``.

    Columns: ``customer_key``, ``day``, ``score``, ``version``, ``low`` and ``high``; null if the log lacks
    them.
    """
    try:
        vectors = records.read(home, until - timedelta(days=days), until, backend, features=False).vectors
    except NothingThere:
        return ibis.memtable(_SCORED.to_pyarrow().empty_table())
    fields = {
        field: vectors[f"{name}.{field}"] if f"{name}.{field}" in vectors.columns else ibis.null(kind)
        for field, kind in _SCORED.items()
        if field not in vectors.columns
    }
    scored = vectors.select("customer_key", "day", **fields).cast(_SCORED)
    return scored.filter(scored.score.notnull() & (scored.day < day_of(until, home.shop().time_zone)))


def _first(home: Home, scored: ir.Table, now: datetime) -> ir.Table:
    """The first prediction of each customer; of merged customers, that of the survivor on its day."""
    merged = survivors(merge for merge in Identity(home).merges() if merge.at_us <= micros(now))
    if merged:
        people = ibis.memtable(pa.table({"key": [*merged], "person": [*merged.values()]}))
        joined = scored.left_join(people, scored.customer_key == people.key)
        scored = joined.select(
            *(joined[name] for name in _SCORED if name != "customer_key"),
            customer_key=joined.person.fill_null(joined.customer_key),
            own_key=joined.customer_key,
            of_merged=joined.person.notnull(),
        )
        order = ["day", "of_merged", "own_key"]
    else:
        order = ["day"]
    earlier = ibis.row_number().over(ibis.window(group_by="customer_key", order_by=order))
    first = scored.mutate(earlier=earlier).filter(ibis._.earlier == 0)
    return first.select(*_SCORED).order_by("day", "customer_key")


def _with_bounds(scored: pd.DataFrame, champion: FittedModel) -> pd.DataFrame:
    """Predictions with ``low`` and ``high``: as logged, else the champion's of its own, else missing."""
    bounds = champion.interval(scored["score"].to_numpy(np.float64))
    if bounds is None:
        return scored.assign(low=np.nan, high=np.nan)
    own = scored["version"] == champion.version
    computed = dict(zip(("low", "high"), bounds, strict=True))
    return scored.assign(
        **{name: scored[name].fillna(pd.Series(values).where(own)) for name, values in computed.items()}
    )
