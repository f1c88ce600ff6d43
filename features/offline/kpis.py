"""Monthly key figures of a shop, its cohorts and last two weeks: computed and stored by each build.

A month is a calendar month in the shop's time zone. Orders count by their latest version, and money is in the
shop's currency; see :mod:`events.queries.order_months`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from ibis.backends.sql import SQLBackend

from core import files
from core.calendar import day_of, midnight
from core.errors import NothingThere
from core.home import Home
from events import lake
from events.queries.order_months import OrderMonths, first_day_of, order_months
from events.queries.order_weeks import order_weeks
from events.schema import Events
from features.groups.segment_rules import LAPSED_AFTER_DAYS

KPIS, COHORTS, WEEKS = "kpis", "cohorts", "weeks"
Result = dict[str, Any]


@dataclass(frozen=True)
class _Months:
    """The months of a shop in their stored form."""

    home: Home
    as_of: datetime
    orders: OrderMonths

    def about(self) -> Result:
        """The fields that both results have."""
        shop = self.home.shop()
        return {"as_of": self.as_of.isoformat(), "time_zone": shop.time_zone, "currency": shop.currency}

    def named(self, month: int) -> Result:
        """A month, and whether it is over."""
        end = midnight(first_day_of(month + 1), self.home.shop().time_zone)
        return {"month": name_of(month), "complete": end <= self.as_of}


def compute(home: Home, as_of: datetime, backend: SQLBackend | None = None) -> dict[str, Result]:
    """What is known at a moment, by ``KPIS``, ``COHORTS`` and ``WEEKS``.

    Args:
        backend: reads the events; by default see :func:`events.lake.backend_of`.

    Raises:
        PatronError: there is no shop, or its events cannot be read.
    """
    zone = home.shop().time_zone
    events = lake.read(home, backend or lake.backend_of(home, spill=True)).known_at(as_of)
    months = _Months(home, as_of, order_months(events, as_of, zone, LAPSED_AFTER_DAYS))
    return {
        KPIS: _kpis(months),
        COHORTS: _cohorts(months),
        WEEKS: months.about() | {"weeks": _weeks(events, day_of(as_of, zone))},
    }


def write(home: Home, as_of: datetime, backend: SQLBackend | None = None) -> None:
    """Compute and store all of them, each in one step."""
    for name, content in compute(home, as_of, backend).items():
        files.replace(_file(home, name), json.dumps(content))


def read(home: Home, name: str) -> Result:
    """The key figures, the cohorts or the weeks as of the last build.

    Raises:
        NothingThere: nothing was built from the current events.
    """
    try:
        content: Result = json.loads(_file(home, name).read_text())
    except FileNotFoundError as error:
        raise NothingThere(f"there are no {name} in {home.path}; run `patron build`") from error
    return content


def latest(result: Result, count: int) -> Result:
    """A result with its last months or cohorts only."""
    return {name: value[-count:] if isinstance(value, list) else value for name, value in result.items()}


def average_retention(cohorts: Sequence[Mapping[str, Any]]) -> list[float]:
    """The share of customers who order, by months since their first order; of months that are over.

    All customers of the cohorts count alike, so a large cohort counts for more.
    """
    active, customers = Counter[int](), Counter[int]()
    for cohort in cohorts:
        for month in cohort["months"]:
            if month["complete"]:
                active[month["months_since_first"]] += month["customers_active"]
                customers[month["months_since_first"]] += cohort["customers"]
    return [active[since] / customers[since] for since in sorted(customers)]


def name_of(month: int) -> str:
    """A month as text, such as ``2024-03``."""
    return f"{first_day_of(month):%Y-%m}"


def _file(home: Home, name: str) -> Path:
    return home.snapshots / lake.metadata(home).generation / f"{name}.json"


def _kpis(months: _Months) -> Result:
    """The key figures of every month from the first with orders or refunds on."""
    table, lapsed = months.orders.by_cohort, months.orders.lapsed
    new = table[table["cohort"] == table["month"]].set_index("month")["customers"]
    sums = table.groupby("month")[["customers", "orders", "gross", "refunds"]].sum()
    first = int(sums.index.min()) if len(sums) else months.orders.last + 1
    listed_months = range(first, months.orders.last + 1)
    rows = sums.reindex(listed_months, fill_value=0).to_dict("records")
    listed = [
        months.named(month) | _figures(row, int(new.get(month, 0)), int(lapsed.get(month, 0)))
        for month, row in zip(listed_months, rows, strict=True)
    ]
    return months.about() | {"lapsed_after_days": LAPSED_AFTER_DAYS, "months": listed}


def _figures(row: Mapping[Hashable, Any], new: int, lapsed: int) -> Result:
    """The key figures of a month. Each new customer places one first order; the others are repeat orders."""
    active, orders = int(row["customers"]), int(row["orders"])
    return {
        "customers_active": active,
        "customers_new": new,
        "customers_returning": active - new,
        "customers_lapsed": lapsed,
        "orders": orders,
        "gross": round(row["gross"], 2),
        "refunds": round(row["refunds"], 2),
        "net": round(row["gross"] - row["refunds"], 2),
        "average_order_value": round(row["gross"] / orders, 2) if orders else None,
        "repeat_share": round((orders - new) / orders, 4) if orders else None,
    }


def _weeks(events: Events, today: int) -> list[Result]:
    """The last seven full days and the seven before, the latest first."""
    return [
        {
            "first": week.first.isoformat(),
            "last": week.last.isoformat(),
            "customers": week.customers,
            "orders": week.orders,
            "net": round(week.gross - week.refunds, 2),
        }
        for week in order_weeks(events, today)
    ]


def _cohorts(months: _Months) -> Result:
    """Every cohort with each month from its own on."""
    table = months.orders.by_cohort.dropna(subset="cohort").astype({"cohort": "int64"})
    listed = []
    for cohort in sorted(table["cohort"].unique().tolist()):
        by_month = table[table["cohort"] == cohort].set_index("month")
        size = int(by_month["customers"][cohort])
        later = [
            months.named(month) | {"months_since_first": month - cohort} | _retention(by_month, month, size)
            for month in range(cohort, months.orders.last + 1)
        ]
        listed.append({"cohort": name_of(cohort), "customers": size, "months": later})
    return months.about() | {"cohorts": listed}


def _retention(by_month: pd.DataFrame, month: int, size: int) -> Result:
    """How many of a cohort ordered in a month, and what they brought."""
    active, net = 0, 0.0
    if month in by_month.index:
        row = by_month.loc[month]
        active, net = int(row["customers"]), float(row["gross"] - row["refunds"])
    return {
        "customers_active": active,
        "share_active": round(active / size, 4),
        "net_revenue": round(net, 2),
        "net_revenue_per_customer": round(net / size, 2),
    }
