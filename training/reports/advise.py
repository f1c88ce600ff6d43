"""Which churn window is sensible: how long a silence must be before few come back from it.

A gap is the days from one day with an order to the customer's next one. The last gap of each customer
is censored: it has lasted until today and may yet end. So shares are by Kaplan and Meier's estimate
(1958), which lets each gap count for as long as it was watched; gaps still open are taken to go on as
others of their length did.
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
from models.spec import Array

WINDOWS = (30, 60, 90, 120, 150, 180, 240, 300, 365)  # days
FOLLOWING_DAYS = 365
FEW = 0.10  # of the silent, who come back
MIN_SILENCES = 50  # behind a share that is shown


@dataclass(frozen=True)
class Window:
    """What calling customers lost after ``days`` without an order would mean.

    Attributes:
        silences: gaps that lasted at least so long; a customer may have several.
        come_back: share of them that end within the following year; None where too few lasted so long.
        within: days after the window in which they were looked for: a year, or the history left.
        population: customers who had ordered in the ``days`` before the moment ``days`` ago.
        churn_rate: share of those who placed no order since; None where the history is too short.
    """

    days: int
    silences: int
    come_back: float | None
    within: int
    population: int | None
    churn_rate: float | None


@dataclass(frozen=True)
class Advice:
    """The windows, and the first one from which on few come back; None where none is."""

    windows: tuple[Window, ...]
    window: int | None
    history_days: int

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self) | {"words": self.words}

    @property
    def words(self) -> str:
        """The advice in a sentence."""
        if self.window is None:
            return (
                f"In {self.history_days} days of history no window up to {WINDOWS[-1]} days leaves fewer than"
                f" {FEW:.0%} to come back: whoever is called lost may well return."
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
            "come back: of silences so long, the share that ends within so many days more; the last silence"
            " of each customer is still open and counts for as long as it was watched."
        )
        return "\n".join([*rows, legend, self.words])


def visits(events: Events) -> ir.Table:
    """Each customer's days with an order, and the day of the next one; null where there is none yet."""
    lines = latest(events.order_lines)
    days = lines.select("customer_key", "day").distinct()
    window = ibis.window(group_by="customer_key", order_by="day")
    return days.mutate(next_day=days.day.lead().over(window))


def advise(visited: pd.DataFrame, today: int) -> Advice:
    """What each window would mean.

    Args:
        visited: ``customer_key``, ``day`` and ``next_day``, as :func:`visits` gives them.
        today: the shop's day up to which silences were watched.

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
    """The shortest window from which on, in all longer ones as far as can be told, few come back."""
    chosen = None
    for window in reversed(windows):
        if window.come_back is None or window.within < FOLLOWING_DAYS:
            continue
        if window.come_back >= FEW:
            break
        chosen = window.days
    return chosen
