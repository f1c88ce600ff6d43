"""What all actions together bring: the treated customers against the lasting holdout.

The comparison is by intention to treat: every customer who was enrolled counts in the group that the draw
decided, whether or not something was sent, from the enrolment on. Only the draw distinguishes the groups, so
the difference is the effect of the programme. Customers whose group changed with the share are left out.

The covariate of CUPED is the net margin of the year before the enrolment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from decisions.holdout import shares_since
from decisions.results.statistics import (
    MAX_SAMPLE_RATIO_P,
    Contrast,
    Moments,
    difference,
    sample_ratio_p,
)
from records.results.holdout import Enrolment, HoldoutPhase

MIN_CUSTOMERS, MIN_BUYERS = 100, 30
"""In each group: customers, and customers with an order."""
MIN_DAYS = 14
YEAR_DAYS = 365


@dataclass(frozen=True)
class Unclear:
    """Why there is no answer yet: a code of :mod:`decisions.results.words`, and its values."""

    code: str
    values: dict[str, float]


@dataclass(frozen=True)
class ProgrammeEffect:
    """The effect of the programme on some customers in a span of time.

    Attributes:
        treated, holdout: customers in each group.
        orders, net_margin: the difference per customer; None where ``unclear`` says why.
        incremental_orders, incremental_margin: of all treated customers together.
        contacts: of the treated. contact_cost, discounts: what they cost, in currency; ``discounts`` on
            conversions of contacts. ``net_margin`` contains both.
        return_on_cost: ``incremental_margin`` per unit of cost; None without cost or answer.
    """

    treated: int
    holdout: int
    orders: Contrast | None
    net_margin: Contrast | None
    incremental_orders: float | None
    incremental_margin: float | None
    contacts: int
    contact_cost: float
    discounts: float
    return_on_cost: float | None
    unclear: tuple[Unclear, ...]


def groups(enrolments: Sequence[Enrolment], phases: Sequence[HoldoutPhase]) -> pd.DataFrame:
    """The customers that are compared, and those who moved between the groups.

    Returns:
        ``customer_key``, ``enrolled`` (UTC, without a zone), ``day``, ``group`` (``treated``, ``holdout`` or
        ``moved``) and ``expected``, the probability of the holdout for who did not move.
    """
    rows = []
    for enrolment in enrolments:
        low, high = shares_since(phases, enrolment)
        group = "holdout" if enrolment.draw < low else "treated" if enrolment.draw >= high else "moved"
        moment = enrolment.at.replace(tzinfo=None)
        rows.append((enrolment.customer_key, moment, enrolment.day, group, low / (low + 1 - high)))
    names = ["customer_key", "enrolled", "day", "group", "expected"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.astype({"customer_key": "int64", "enrolled": "datetime64[us]", "expected": "float64"})


def per_customer(
    customers: pd.DataFrame, orders: pd.DataFrame, contacts: pd.DataFrame, since: datetime, until: datetime
) -> pd.DataFrame:
    """What each customer brought from ``since`` to before ``until``, after the own enrolment.

    Args:
        customers: as :func:`groups`. orders: ``customer_key``, ``at``, ``margin`` in currency.
        contacts: ``customer_key``, ``at``, ``cost``, and the ``discount`` on the conversions of each.

    Returns:
        ``customers`` with ``orders``, ``margin`` (less the cost of contacts), ``before`` (the margin of the
        year before the enrolment), ``contacts``, ``cost`` and ``discount``.
    """
    frame = customers.set_index("customer_key")
    start = np.datetime64(since.replace(tzinfo=None), "us")
    end = np.datetime64(until.replace(tzinfo=None), "us")
    result = frame.assign(orders=0.0, margin=0.0, before=0.0, contacts=0.0, cost=0.0, discount=0.0)

    def add(column: str, rows: pd.DataFrame, values: pd.Series | float) -> None:
        sums = pd.Series(values, index=rows.index).groupby(rows["customer_key"]).sum()
        result[column] = result[column].add(sums.reindex(result.index, fill_value=0.0))

    def within(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[(rows["at"] >= start) & (rows["at"] < end)]

    later = within(orders[orders["at"] > orders["customer_key"].map(frame["enrolled"])])
    sent = within(contacts[contacts["at"] >= contacts["customer_key"].map(frame["enrolled"])])
    enrolled = orders["customer_key"].map(frame["enrolled"])
    year = pd.Timedelta(days=YEAR_DAYS)
    earlier = orders[(orders["at"] <= enrolled) & (orders["at"] > enrolled - year)]
    add("orders", later, 1.0)
    add("margin", later, later["margin"])
    add("before", earlier, earlier["margin"])
    add("contacts", sent, 1.0)
    add("cost", sent, sent["cost"])
    add("discount", sent, sent["discount"])
    return result.assign(margin=result["margin"] - result["cost"]).reset_index()


def effect(people: pd.DataFrame, days: float) -> ProgrammeEffect:
    """The effect on customers, with the reasons why it cannot be told yet.

    Args:
        people: as :func:`per_customer` returns them.
        days: the days since the first of them was enrolled.
    """
    by_group = {name: people[people["group"] == name] for name in ("treated", "holdout")}
    treated, holdout = by_group["treated"], by_group["holdout"]
    unclear = _unclear(treated, holdout, days)
    results: dict[str, Contrast | None] = {"orders": None, "margin": None}
    if not unclear:
        results = {
            name: difference(*(Moments.of(g[name], g["before"]) for g in (treated, holdout)))
            for name in results
        }
    orders, margin = results["orders"], results["margin"]
    cost, discounts = float(treated["cost"].sum()), float(treated["discount"].sum())
    total = None if margin is None else margin.estimate * len(treated)
    return ProgrammeEffect(
        len(treated), len(holdout), orders, margin,
        None if orders is None else orders.estimate * len(treated), total,
        int(treated["contacts"].sum()), cost, discounts,
        total / (cost + discounts) if total is not None and cost + discounts > 0 else None,
        unclear,
    )  # fmt: skip


def _unclear(treated: pd.DataFrame, holdout: pd.DataFrame, days: float) -> tuple[Unclear, ...]:
    reasons = []
    smaller = min(len(treated), len(holdout))
    buyers = min(int((group["orders"] > 0).sum()) for group in (treated, holdout))
    expected = float(treated["expected"].sum() + holdout["expected"].sum())
    if smaller < MIN_CUSTOMERS:
        reasons.append(Unclear("few_customers", {"count": smaller, "needed": MIN_CUSTOMERS}))
    elif buyers < MIN_BUYERS:
        reasons.append(Unclear("few_buyers", {"count": buyers, "needed": MIN_BUYERS}))
    if days < MIN_DAYS:
        reasons.append(Unclear("early", {"days": int(days), "needed": MIN_DAYS}))
    if sample_ratio_p(len(treated), len(holdout), expected) < MAX_SAMPLE_RATIO_P:
        reasons.append(Unclear("sample_ratio", {"holdout": len(holdout), "expected": round(expected)}))
    return tuple(reasons)
