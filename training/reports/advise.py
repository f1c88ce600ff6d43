"""Advises a churn window: how long a silence must be before few customers return.

A gap is the number of days from a day with an order to the customer's next one. Each customer's last gap is
censored: it has lasted until today and may still end. Shares are therefore Kaplan-Meier estimates (1958), in
which each gap counts for as long as it was observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import PatronError
from events.schema import Events, latest
from models.estimator import Array

WINDOWS = (30, 60, 90, 120, 150, 180, 240, 300, 365)  # days
FOLLOWING_DAYS = 365
FEW = 0.10  # of the silent customers, who return
MIN_SILENCES = 50  # for a share to be shown


@dataclass(frozen=True)
class Window:
    """A churn window: the effect of counting customers as lost after ``days`` without an order.

    Attributes:
        silences: gaps that lasted at least ``days``; a customer may have several.
        come_back: the share of them that end within the following year; None if there are too few.
        within: the days after the window in which returns were counted: a year, or the remaining history.
        population: customers who had ordered in the ``days`` before the moment ``days`` ago.
        churn_rate: the share of those who placed no order since; None if the history is too short.
    """

    days: int
    silences: int
    come_back: float | None
    within: int
    population: int | None
    churn_rate: float | None


@dataclass(frozen=True)
class Advice:
    """The windows, and the first one after which few customers return; None if there is none."""

    windows: tuple[Window, ...]
    window: int | None
    history_days: int

    def as_dict(self) -> dict[str, Any]:
        """The advice as JSON."""
        return asdict(self) | {"words": self.words}

    @property
    def words(self) -> str:
        """The advice in a sentence."""
        if self.window is None:
            return (
                f"In {self.history_days} days of history no window up to {WINDOWS[-1]} days leaves fewer than"
                f" {FEW:.0%} to come back: customers counted as lost may well return."
            )
        return (
            f"After {self.window} days without an order fewer than {FEW:.0%} come back: the shortest sensible"
            f" window (`patron train churn --horizon {self.window}`)."
        )

    def table(self) -> str:
        """The windows in rows, and the advice."""
        rows = ["days  silences  come back  within  population  churn rate"]
        for w in self.windows:
            back = "-" if w.come_back is None else f"{w.come_back:.1%}"
            rate = "-" if w.churn_rate is None else f"{w.churn_rate:.1%}"
            people = "-" if w.population is None else f"{w.population:,}"
            rows.append(f"{w.days:>4}  {w.silences:>8,}  {back:>9}  {w.within:>6}  {people:>10}  {rate:>10}")
        legend = (
            "come back: the share of such silences that end within so many further days; each customer's last"
            " silence is still open and counts for as long as it was observed."
        )
        return "\n".join([*rows, legend, self.words])


def visits(events: Events) -> ir.Table:
    """Each customer's days with an order, and the day of the next one; null if there is none yet."""
    lines = latest(events.order_lines)
    days = lines.select("customer_key", "day").distinct()
    window = ibis.window(group_by="customer_key", order_by="day")
    return days.mutate(next_day=days.day.lead().over(window))


def advise(visited: pd.DataFrame, today: int) -> Advice:
    """Compute the effect of each window.

    Args:
        visited: ``customer_key``, ``day`` and ``next_day``, as :func:`visits` returns them.
        today: the shop's last observed day.

    Raises:
        PatronError: there are no orders.
    """
    if visited.empty:
        raise PatronError("there are no orders to advise from; import more history")
    day = visited["day"].to_numpy(np.int64)
    ended = visited["next_day"].notna().to_numpy(np.bool_)
    lasted = visited["next_day"].fillna(today).to_numpy(np.int64) - day
    alive = survival(lasted, ended)
    windows = tuple(_window(days, visited, lasted, alive, today) for days in WINDOWS)
    return Advice(windows, _shortest(windows), int(today - day.min()))


def survival(lasted: NDArray[np.int64], ended: NDArray[np.bool_]) -> Array:
    """Share of gaps that last longer than 0, 1, 2 ... days, by Kaplan and Meier."""
    longest = int(lasted.max())
    watched = np.cumsum(np.bincount(lasted, minlength=longest + 1)[::-1])[::-1]
    ends = np.bincount(lasted[ended], minlength=longest + 1)
    return np.cumprod(1 - ends / np.maximum(watched, 1)).astype(np.float64)


def _window(days: int, visited: pd.DataFrame, lasted: NDArray[np.int64], alive: Array, today: int) -> Window:
    silences = int((lasted > days).sum())
    within = max(0, min(FOLLOWING_DAYS, len(alive) - 1 - days))
    back = None
    if silences >= MIN_SILENCES and within and alive[days] > 0:
        back = float(1 - alive[days + within] / alive[days])
    moment = today - days
    if moment - days < visited["day"].min():
        return Window(days, silences, back, within, None, None)
    before = visited[(visited["day"] >= moment - days) & (visited["day"] < moment)]["customer_key"].unique()
    since = visited[visited["day"] >= moment]["customer_key"].unique()
    stayed = np.isin(before, since).mean() if len(before) else None
    rate = None if stayed is None else float(1 - stayed)
    return Window(days, silences, back, within, len(before), rate)


def _shortest(windows: Sequence[Window]) -> int | None:
    """The shortest window after which, as after all longer ones, few customers return."""
    chosen = None
    for window in reversed(windows):
        if window.come_back is None or window.within < FOLLOWING_DAYS:
            continue
        if window.come_back >= FEW:
            break
        chosen = window.days
    return chosen
