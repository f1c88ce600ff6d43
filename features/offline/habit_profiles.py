"""The habits of a customer, shrunk to those of the shop.

**Hours.** With n the days and hours of a customer's activity, c their number in each hour after smoothing
(a quarter of each count goes to the hour before, a quarter to the hour after), and s the shop's shares::

    share(hour) = (c(hour) + HOUR_STRENGTH × s(hour)) / (n + HOUR_STRENGTH)

the posterior mean under a Dirichlet prior. A customer without a past has the shop's hours.

**Channels.** With r responses to m messages and p the shop's share of responses on the channel::

    preference = (r + CHANNEL_STRENGTH × p) / (m + CHANNEL_STRENGTH) / p

within ``MIN_PREFERENCE`` and ``MAX_PREFERENCE``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.home import Home
from features.offline.habits import CHANNELS, HOUR_COLUMNS, HOURS, folder_of

HOUR_STRENGTH = 30.0
"""How many days and hours of activity the shop's hours are worth; decision 64 has the comparison."""
CHANNEL_STRENGTH = 20.0
"""Messages that the shop's share of responses is worth."""
MIN_PREFERENCE, MAX_PREFERENCE = 0.5, 2.0
MIN_MESSAGES = 100  # on a channel in the shop, below which no preference is known
Numbers = NDArray[np.float64]
Shares = tuple[float, ...]


@dataclass(frozen=True)
class HabitProfiles:
    """The habits of a shop's customers as of a build.

    Attributes:
        keys: of the customers with activity, ascending.
        counts: by customer and hour, days with activity.
        usual: the shop's share of activity in each hour, smoothed; they sum to 1.
        preferences: by channel the keys of the customers with messages, ascending, and their preferences.
    """

    keys: NDArray[np.int64]
    counts: NDArray[np.uint16]
    usual: Numbers
    preferences: Mapping[str, tuple[NDArray[np.int64], Numbers]]

    def hours(self, key: int) -> Shares:
        """A customer's share of activity in each hour of the day, by the customer's clocks; they sum to 1."""
        place = int(np.searchsorted(self.keys, key))
        own = np.zeros(24)
        if place < len(self.keys) and self.keys[place] == key:
            own = smoothed(self.counts[place].astype(np.float64))
        shares = (own + HOUR_STRENGTH * self.usual) / (own.sum() + HOUR_STRENGTH)
        return tuple(shares.tolist())

    def preference(self, channel: str, keys: Sequence[int]) -> Numbers:
        """How much more often than usual customers respond on a channel; 1 without messages."""
        known, values = self.preferences.get(channel, (np.empty(0, np.int64), np.empty(0)))
        result = np.ones(len(keys))
        if len(known):
            places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
            result = np.where(known[places] == np.asarray(keys), values[places], 1.0)
        return result


def smoothed(counts: Numbers) -> Numbers:
    """Counts by hour, around the clock, of which a quarter goes to each neighbouring hour."""
    result: Numbers = 0.5 * counts + 0.25 * (np.roll(counts, 1) + np.roll(counts, -1))
    return result


def load(home: Home) -> HabitProfiles | None:
    """The habits as of the last build, read once per build; None if no build has stored any."""
    folder = folder_of(home)
    try:
        written = tuple((folder / name).stat().st_mtime_ns for name in (HOURS, CHANNELS))
    except OSError:
        return None
    return _read(folder, written)


@lru_cache(maxsize=2)
def _read(folder: Path, _written: tuple[int, ...]) -> HabitProfiles | None:
    try:
        hours, channels = pq.read_table(folder / HOURS), pq.read_table(folder / CHANNELS)
        counts = np.column_stack([hours[name].to_numpy() for name in HOUR_COLUMNS])
    except (OSError, KeyError, pa.ArrowException):
        return None
    total = smoothed(counts.sum(axis=0, dtype=np.float64))
    usual = total / total.sum() if total.sum() else np.full(24, 1 / 24)
    return HabitProfiles(hours["customer_key"].to_numpy(), counts, usual, _preferences(channels))


def _preferences(channels: pa.Table) -> dict[str, tuple[NDArray[np.int64], Numbers]]:
    table = channels.to_pandas().sort_values("customer_key")
    result = {}
    for channel, rows in table.groupby("channel"):
        sent, responded = (rows[name].to_numpy(np.float64) for name in ("sent", "responded"))
        if sent.sum() < MIN_MESSAGES or not responded.sum():
            continue
        usual = responded.sum() / sent.sum()
        shrunk = (responded + CHANNEL_STRENGTH * usual) / (sent + CHANNEL_STRENGTH) / usual
        bounded = np.clip(shrunk, MIN_PREFERENCE, MAX_PREFERENCE)
        result[str(channel)] = rows["customer_key"].to_numpy(np.int64), bounded
    return result
