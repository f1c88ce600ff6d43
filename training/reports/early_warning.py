"""How early a churn score warns: the days between its crossing a threshold and the customer's lapse.

A customer lapses at the end of the day on which their silence has lasted for ``LAPSED_AFTER_DAYS``.
Watched are those whose last order before the first moment is so recent that they could be warned of at every
number of days of ``BEFORE``. A silence that ends in an order ends the watch: whoever was warned of until then
was a false alarm. A subscriber lapses when the last of their subscriptions ends (:func:`endings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.groups.segments import LAPSED_AFTER_DAYS
from models.spec import Array

BEFORE = (90, 60, 30)  # days before the lapse
BEFORE_THE_END = (30, 14, 7)  # days before the last subscription ends
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of the customers, whom a threshold warns of at first


@dataclass(frozen=True)
class EarlyWarning:
    """What warning of everybody at or above a threshold would have done.

    Attributes:
        share: of the customers asked about at the first moment who stood at or above it.
        threshold: the score at which a customer is warned of.
        caught: by days before the lapse, the share of the lapsed who had been warned of by then.
        median_days: before the lapse, of those of the lapsed who were warned of; None for nobody.
        warned: customers warned of, ``right`` of whom lapsed (as a share; None where nobody was warned of).
    """

    share: float
    threshold: float
    lapsed: int
    caught: dict[int, float]
    median_days: float | None
    warned: int
    right: float | None


def silences(visited: pd.DataFrame, since: int, today: int) -> pd.DataFrame:
    """The silences that go on at a day, and how they ended.

    Args:
        visited: ``customer_key``, ``day`` and ``next_day``, as
            :func:`training.reports.advise.visits` gives them.
        since: the shop's day of the first moment.
        today: the shop's day up to which silences were watched.

    Returns:
        ``customer_key``, ``lapses`` (the day on which it would lapse), ``ends`` (the day it ended by an
        order or by the lapse) and ``lapsed``, of those whose end is known and who could be caught at every
        number of days of ``BEFORE``.
    """
    before = visited[visited["day"] < since]
    last = before.sort_values(["customer_key", "day"]).drop_duplicates("customer_key", keep="last")
    lapses = last["day"].to_numpy(np.int64) + LAPSED_AFTER_DAYS
    following = last["next_day"].fillna(np.inf).to_numpy(np.float64)
    lapsed = following > lapses
    ends = np.minimum(following, lapses)
    known = np.where(lapsed, lapses < today, ends <= today)
    usable = (lapses - since >= max(BEFORE)) & known
    columns = {"customer_key": last["customer_key"], "lapses": lapses, "ends": ends, "lapsed": lapsed}
    return pd.DataFrame(columns)[usable].reset_index(drop=True)


def endings(subscriptions: pd.DataFrame, since: int, today: int) -> pd.DataFrame:
    """Which subscribers of a day have none that is active at a later one, and since when.

    Args:
        held: as of ``today``, ``active_subscriptions`` and ``days_since_subscription_end`` by customer.
        since: the shop's day of the first moment.

    Returns:
        As :func:`silences`, of those who could be caught at every number of days of ``BEFORE_THE_END``.
        Whoever still holds one was a false alarm, if they were warned of.
    """
    lapsed = (subscriptions["active_subscriptions"] == 0).to_numpy(np.bool_)
    ended = today - subscriptions["days_since_subscription_end"].fillna(0).to_numpy(np.float64)
    ends = np.where(lapsed, ended, today)
    columns = {"customer_key": subscriptions.index, "lapses": ends, "ends": ends, "lapsed": lapsed}
    return pd.DataFrame(columns)[ends - since >= max(BEFORE_THE_END)].reset_index(drop=True)


def by_threshold(
    scored: pd.DataFrame, watched: pd.DataFrame, first: Array, before: Sequence[int] = BEFORE
) -> tuple[EarlyWarning, ...]:
    """What each threshold would have done, the highest first.

    Args:
        scored: ``customer_key``, ``day`` and ``score``: what the model said, day by day.
        watched: as :func:`silences` gives it.
        first: scores of everyone at the first moment; thresholds are their quantiles, and so rest on no
            outcome.
        before: by how many days before the lapse those who had been warned of are counted.
    """
    scores = scored.merge(watched, on="customer_key")
    scores = scores[scores["day"] < scores["ends"]]
    thresholds = [(share, float(np.quantile(first, 1 - share))) for share in SHARES]
    return tuple(_warning(scores, watched, share, threshold, before) for share, threshold in thresholds)


def _warning(
    scores: pd.DataFrame, watched: pd.DataFrame, share: float, threshold: float, before: Sequence[int]
) -> EarlyWarning:
    crossed = scores[scores["score"] >= threshold].groupby("customer_key")["day"].min()
    days = watched["lapses"] - watched["customer_key"].map(crossed)  # NaN for those never warned of
    lapsed = watched["lapsed"].to_numpy(np.bool_)
    ahead = days[lapsed]
    warned = int(days.notna().sum())
    return EarlyWarning(
        share,
        threshold,
        int(lapsed.sum()),
        {k: float((ahead >= k).mean()) if len(ahead) else 0.0 for k in before},
        float(ahead.median()) if ahead.notna().any() else None,
        warned,
        float(lapsed[days.notna()].mean()) if warned else None,
    )


def table(rows: Sequence[EarlyWarning]) -> str:
    """The rows as text, a line each."""
    before = rows[0].caught if rows else BEFORE
    heads = "".join(f"{f'{days} days':>10}" for days in before)
    lines = [f"{'warned at':<22}{heads}{'median days':>13}{'warned':>8}{'right':>8}"]
    for row in rows:
        median = "-" if row.median_days is None else f"{row.median_days:.0f}"
        right = "-" if row.right is None else f"{row.right:.1%}"
        at = f"{row.threshold:.3f} (top {row.share:.0%})"
        caught = "".join(f"{row.caught[days]:>10.1%}" for days in before)
        lines.append(f"{at:<22}{caught}{median:>13}{row.warned:>8,}{right:>8}")
    return "\n".join(lines)
