"""Habits of a simulated shop: hours by the clocks of customers, and responses by channel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.home import Home
from events import lake
from features.offline import habit_profiles, habits
from features.offline.snapshot_set import SnapshotSet


@pytest.fixture
def home(built_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path: Path) -> Home:
    return copy_trained(built_shop, tmp_path / "home")


def test_hours_are_days_with_activity_by_the_shops_clocks(home: Home, built: SnapshotSet) -> None:
    table = pq.read_table(habits.folder_of(home) / habits.HOURS)
    counts = np.column_stack([table[name].to_numpy() for name in habits.HOUR_COLUMNS])
    backend = lake.connect()
    events = lake.read(home, backend)
    kinds = (*habits.VISITS, *habits.CARTS, *habits.RESPONSES)
    tables = [events.order_lines, events.activities.filter(events.activities.kind.isin(kinds))]
    rows = pd.concat(
        [backend.to_pandas(t.select("customer_key", "timestamp", "received_at")) for t in tables]
    )
    end = pd.Timestamp(built.current).tz_localize(None)
    known = (rows["timestamp"] < end) & (rows["received_at"] <= end)
    rows = rows[known & (rows["timestamp"] >= end - habits.WINDOW)]
    local = rows["timestamp"].dt.tz_localize("UTC").dt.tz_convert(home.shop().time_zone)
    days, hours = (local.dt.year * 366 + local.dt.dayofyear).to_numpy(), local.dt.hour.to_numpy()
    once = np.unique(np.column_stack([rows["customer_key"], days, hours]), axis=0)
    expected = np.zeros_like(counts)
    np.add.at(expected, (np.searchsorted(table["customer_key"].to_numpy(), once[:, 0]), once[:, 2]), 1)
    assert (counts == expected).all()
    assert counts.sum() > 1000


def test_profiles_are_read_once_per_build_and_missing_without_one(home: Home) -> None:
    profiles = habit_profiles.load(home)
    assert profiles is not None
    assert habit_profiles.load(home) is profiles
    assert profiles.usual.sum() == pytest.approx(1)
    assert 17 <= profiles.usual.argmax() <= 21  # the simulated shop sells most in the evening
    known = profiles.preference("email", [int(profiles.keys[0]), 10**9])
    assert known[1] == 1
    table = pq.read_table(habits.folder_of(home) / habits.CHANNELS).to_pandas()
    email = table[table["channel"] == "email"].set_index("customer_key")
    mean = email["responded"].sum() / email["sent"].sum()
    one = email[email["responded"] > 0].iloc[0]
    shrunk = (one["responded"] + 20 * mean) / (one["sent"] + 20) / mean
    assert profiles.preference("email", [one.name])[0] == pytest.approx(min(2, max(0.5, shrunk)))
    (habits.folder_of(home) / habits.HOURS).unlink()
    assert habit_profiles.load(home) is None
