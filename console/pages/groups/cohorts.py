"""Retention and revenue of customers by the month of their first order, as tables with shades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from console.charts.series import Series, line
from console.page import ConsolePage, Content, Kind, PageTable, TableColumn, Visit
from features.offline import kpis
from serving.access.scopes import Scope

COUNTS = (12, 24, 60)
"""How many cohorts a user can choose; the first by default."""
MONTHS = 24
"""Months after the first order that are shown."""
Cohort = Mapping[str, Any]


def load(visit: Visit) -> Content:
    """The last cohorts, as many as the parameter ``cohorts`` of the query says."""
    chosen = visit.query.get("cohorts", "")
    count = next((n for n in COUNTS if str(n) == chosen), COUNTS[0])
    result = kpis.latest(kpis.read(visit.home, kpis.COHORTS), count)
    cohorts: list[Cohort] = result["cohorts"]
    return Content(
        {
            "as_of": result["as_of"],
            "count": count,
            "counts": COUNTS,
            "months": MONTHS,
            "curve": _curve(visit, cohorts),
        },
        {
            "retention": _table("cohorts.retention", cohorts, "share_active", "percent"),
            "revenue": _table("cohorts.revenue", cohorts, "net_revenue_per_customer", "money"),
        },
    )


PAGE = ConsolePage("cohorts", "/cohorts", Scope.SEGMENTS, load)


def _curve(visit: Visit, cohorts: Sequence[Cohort]) -> Any:
    """The average retention from the first month after the first order on; None before there is one."""
    shares = kpis.average_retention(cohorts)[1 : MONTHS + 1]
    if not shares:
        return None
    labels = [visit.words.number(since) for since in range(1, len(shares) + 1)]
    return line(Series(visit.words("cohorts.curve"), labels, shares), lambda v: visit.words.percent(v, 1))


def _table(caption: str, cohorts: Sequence[Cohort], measure: str, kind: Kind) -> PageTable:
    """A row per cohort, the newest first, and a column per month since the first order.

    The month of the first order has no part in the shades: all customers of the cohort ordered in it.
    """
    rows = [
        {"cohort": cohort["cohort"], "customers": cohort["customers"]}
        | {str(month["months_since_first"]): month[measure] for month in cohort["months"][: MONTHS + 1]}
        for cohort in reversed(cohorts)
    ]
    later = [month[measure] for cohort in cohorts for month in cohort["months"][1 : MONTHS + 1]]
    heat = max(later, default=0.0)
    columns = [
        TableColumn("cohort", "cohorts.cohort", "month", is_row_header=True),
        TableColumn("customers", "cohorts.customers", "number"),
    ]
    for since in range(max((len(row) - 2 for row in rows), default=0)):
        columns.append(TableColumn(str(since), caption, kind, heading=str(since), heat=heat if since else 0))
    return PageTable(caption, columns, rows)
