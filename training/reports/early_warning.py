"""Early warning: the days between a churn score's crossing of a threshold and the customer's lapse.

A customer lapses at the end of the day on which their silence has lasted for the model's horizon. The report
is about customers whose last order before the first moment is recent enough for a warning at every number of
days of :func:`days_before`. A silence that ends in an order ends the observation: a warning until then was a
false alarm. A subscriber lapses when the last of their subscriptions ends (:func:`endings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.estimator import Array

BEFORE_THE_END = (30, 14, 7)  # days before the last subscription ends
SHARES = (
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
)  # of the customers with a warning at first, by threshold


@dataclass(frozen=True)
class EarlyWarning:
    """The result of warning about all customers at or above a threshold.

    Attributes:
        share: the share of the customers at or above it at the first moment.
        threshold: the score from which on there is a warning.
        caught: by days before the lapse, the share of the lapsed customers with a warning by then.
        median_days: from the warning to the lapse, for lapsed customers with a warning; None if there are
            none.
        warned: the customers with a warning; ``right`` is the share of them who lapsed, None without
            warnings.
    """

    share: float
    threshold: float
    lapsed: int
    caught: dict[int, float]
    median_days: float | None
    warned: int
    right: float | None


def days_before(horizon_days: int) -> tuple[int, ...]:
    """The days before the lapse by which warnings are counted: a half, a third and a sixth of the horizon."""
    return tuple(max(horizon_days // part, 1) for part in (2, 3, 6))


def silences(visited: pd.DataFrame, lapse_days: int, since: int, today: int) -> pd.DataFrame:
    """The silences that are open on a day, and how they ended.

    Args:
        visited: ``customer_key``, ``day`` and ``next_day``, as
            :func:`training.reports.advise.visits` returns them.
        lapse_days: the days of silence after which a customer has lapsed.
        since: the shop's day of the first moment.
        today: the shop's last observed day.

    Returns:
        ``customer_key``, ``lapses`` (the day of the lapse, if it comes), ``ends`` (the day on which the
        silence ended by an order or the lapse) and ``lapsed``, for silences whose end is known and that allow
        a warning at every number of days of ``days_before(lapse_days)``.
    """
    before = visited[visited["day"] < since]
    last = before.sort_values(["customer_key", "day"]).drop_duplicates("customer_key", keep="last")
    lapses = last["day"].to_numpy(np.int64) + lapse_days
    following = last["next_day"].fillna(np.inf).to_numpy(np.float64)
    lapsed = following > lapses
    ends = np.minimum(following, lapses)
    known = np.where(lapsed, lapses < today, ends <= today)
    usable = (lapses - since >= max(days_before(lapse_days))) & known
    columns = {"customer_key": last["customer_key"], "lapses": lapses, "ends": ends, "lapsed": lapsed}
    return pd.DataFrame(columns)[usable].reset_index(drop=True)


def endings(subscriptions: pd.DataFrame, since: int, today: int) -> pd.DataFrame:
    """The subscribers of a day, whether they have no active subscription at a later one, and since when.

    Args:
        subscriptions: as of ``today``, ``active_subscriptions`` and ``days_since_subscription_end`` by
            customer.
        since: the shop's day of the first moment.

    Returns:
        As :func:`silences`, for subscribers that allow a warning at every number of days of
        ``BEFORE_THE_END``. For those who still have a subscription, a warning was a false alarm.
    """
    lapsed = (subscriptions["active_subscriptions"] == 0).to_numpy(np.bool_)
    ended = today - subscriptions["days_since_subscription_end"].fillna(0).to_numpy(np.float64)
    ends = np.where(lapsed, ended, today)
    columns = {"customer_key": subscriptions.index, "lapses": ends, "ends": ends, "lapsed": lapsed}
    return pd.DataFrame(columns)[ends - since >= max(BEFORE_THE_END)].reset_index(drop=True)


def by_threshold(
    scored: pd.DataFrame, watched: pd.DataFrame, first: Array, before: Sequence[int]
) -> tuple[EarlyWarning, ...]:
    """The result of each threshold, the highest first; nothing if no customer lapsed.

    Args:
        scored: ``customer_key``, ``day`` and ``score``: the model's scores day by day.
        watched: the result of :func:`silences`.
        first: the scores of all customers at the first moment; thresholds are their quantiles, so they do not
            depend on outcomes.
        before: the numbers of days before the lapse by which warnings are counted.
    """
    if not watched["lapsed"].any():
        return ()
    scores = scored.merge(watched, on="customer_key")
    scores = scores[scores["day"] < scores["ends"]]
    thresholds = [(share, float(np.quantile(first, 1 - share))) for share in SHARES]
    return tuple(_warning(scores, watched, share, threshold, before) for share, threshold in thresholds)


def _warning(
    scores: pd.DataFrame, watched: pd.DataFrame, share: float, threshold: float, before: Sequence[int]
) -> EarlyWarning:
    crossed = scores[scores["score"] >= threshold].groupby("customer_key")["day"].min()
    days = watched["lapses"] - watched["customer_key"].map(crossed)  # NaN without a warning
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
    """The rows, of which there is at least one, as text, a line each."""
    heads = "".join(f"{f'{days} days':>10}" for days in rows[0].caught)
    lines = [f"{'warned at':<22}{heads}{'median days':>13}{'warned':>8}{'right':>8}"]
    for row in rows:
        median = "-" if row.median_days is None else f"{row.median_days:.0f}"
        right = "-" if row.right is None else f"{row.right:.1%}"
        at = f"{row.threshold:.3f} (top {row.share:.0%})"
        caught = "".join(f"{share:>10.1%}" for share in row.caught.values())
        lines.append(f"{at:<22}{caught}{median:>13}{row.warned:>8,}{right:>8}")
    return "\n".join(lines)
