"""What happened between two moments: of whom events became visible, were replaced, or left a window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.calendar import day_of
from features.ageing import ageing
from features.group import FeatureGroup
from features.offline import populations
from features.offline.engines.groups import GroupBuild

LATE = timedelta(hours=1)
"""The maximum time from the arrival of an event until it is stored."""
CHANGED = "changed"

Keys = NDArray[np.int64]
NOBODY: Keys = np.empty(0, np.int64)


@dataclass(frozen=True)
class Increment:
    """What happened between two moments.

    Attributes:
        base, as_of: the moments.
        days: the days of the shop between them.
        everyone: the customers known at ``as_of``, as a population.
        keys: their keys, in ascending order.
        changed: the keys of customers who are new, or of whom an event became visible, was replaced or was
            rewritten.
        left: by event table and age in days, the keys of customers of whom an event passed that age.
    """

    base: datetime
    as_of: datetime
    days: int
    everyone: ir.Table
    keys: Keys
    changed: Keys
    left: Mapping[tuple[str, int], Keys]

    def affected(self, groups: Iterable[FeatureGroup]) -> Keys:
        """The keys of the known customers of whom values of these groups may change otherwise than by age."""
        parts = [self.changed]
        for group in groups:
            for table, ages in ageing(group).windows.items():
                parts += [self.left[table, age] for age in ages]
        return np.intersect1d(np.concatenate(parts), self.keys)


def between(
    build: GroupBuild, base: datetime, as_of: datetime, resources: ExitStack, rewritten: Keys = NOBODY
) -> Increment:
    """What happened between two moments; each event table is read once.

    Args:
        resources: closes the population at its end.
        rewritten: the keys of customers of whom events differ from those that the build of ``base`` read.
    """
    first, days = day_of(base, build.zone), day_of(as_of, build.zone) - day_of(base, build.zone)
    everyone = resources.enter_context(populations.everyone(build.events, as_of, build.zone).cache())
    keys_changed = [rewritten]
    left: dict[tuple[str, int], Keys] = {}
    for name, table in build.events.items():
        ages = {age for group in build.groups for age in ageing(group).windows.get(name, ())}
        marks = {CHANGED: changed(table, base - LATE, as_of)}
        marks |= {str(age): table.day.between(first - age, first - age + days - 1) for age in sorted(ages)}
        rows = table.select("customer_key", **marks)
        marked = build.engine.backend.to_pyarrow(
            rows.filter(ibis.or_(*(rows[mark] for mark in marks))).distinct()
        )
        keys_changed.append(_keys(marked, CHANGED))
        left |= {(name, age): _keys(marked, str(age)) for age in ages}
    keys = np.sort(build.engine.backend.to_pyarrow(everyone.customer_key).to_numpy())
    stored = next(path for group in build.groups if (path := build.path(group, base)).exists())
    keys_changed.append(
        np.setdiff1d(keys, pq.read_table(stored, columns=["customer_key"])["customer_key"].to_numpy())
    )
    return Increment(base, as_of, days, everyone, keys, np.unique(np.concatenate(keys_changed)), left)


def changed(table: ir.Table, since: datetime, as_of: datetime) -> ir.BooleanValue:
    """Whether an event became visible, or was replaced, between two moments, both included."""
    first, last = (ibis.literal(moment.replace(tzinfo=None), "timestamp(6)") for moment in (since, as_of))
    seen = ibis.greatest(table.timestamp, table.received_at).between(first, last)
    if "replaced_at" in table.columns:
        seen |= table.replaced_at.between(first, last).fill_null(False)
    return seen


def _keys(marked: pa.Table, mark: str) -> Keys:
    keys: Keys = marked["customer_key"].filter(marked[mark]).to_numpy()
    return np.unique(keys)
