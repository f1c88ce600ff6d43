"""The shop at a glance: revenue, what the models expect, stages, and what needs attention."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from console.charts.series import Series, bars
from console.page import ConsolePage, Content, PageTable, TableColumn, Visit
from core.errors import NothingThere
from features.offline import kpis
from serving.access.scopes import Scope
from serving.scores.scorer import Scorer
from serving.totals.measures import MEASURES
from serving.totals.overview import overview, shop_total_before

MONTHS = 24
WEEK_COLUMNS = (
    TableColumn("customers", "overview.week_customers", "number"),
    TableColumn("orders", "overview.orders", "number"),
    TableColumn("net", "overview.week_net", "money"),
    TableColumn("at_risk", "overview.revenue_at_risk", "money"),
)


def load(visit: Visit) -> Content:
    """The overview as of the last build."""
    scorer = visit.services[Scorer]
    champions = scorer.champions
    totals = overview(visit.home, champions.named)
    months = kpis.latest(kpis.read(visit.home, kpis.KPIS), MONTHS)["months"]
    weeks = _stored_weeks(visit, totals)
    return Content(
        {
            "as_of": totals["as_of"],
            "customers": totals["customers"],
            "month": _last_complete(visit, months),
            "expected": [_expected(visit, totals, measure.name) for measure in MEASURES],
            "attention": [*dict.fromkeys(champions.unavailable.values()), *_stale(totals)],
            "revenue": _chart(visit, months),
            "week": _changes(visit, weeks),
        },
        {"weeks": _weeks(visit, weeks), "months": _months(months), "stages": _stages(visit, totals)},
    )


PAGE = ConsolePage("overview", "", Scope.SEGMENTS, load, jobs=("scores",))


def _last_complete(visit: Visit, months: list[dict[str, Any]]) -> Mapping[str, Any] | None:
    """The last month that is over, with the change of its revenue on the month before; None without one."""
    over = [month for month in months if month["complete"]]
    if not over:
        return None
    last = dict(over[-1])
    before = over[-2]["net"] if len(over) > 1 else 0
    last["change"] = _signed(visit, last["net"] / before - 1) if before > 0 else None
    return last


def _stored_weeks(visit: Visit, totals: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The last full week and the one before, with the value at risk; none if a build stored none yet."""
    try:
        weeks = kpis.read(visit.home, kpis.WEEKS)["weeks"]
    except NothingThere:
        return []
    risk, now = totals["revenue_at_risk"], visit.home.shop().now()
    before = shop_total_before(visit.home, "revenue_at_risk", now - timedelta(days=7))
    at_risk = (risk["expected"] if risk else None, before)
    return [week | {"at_risk": value} for week, value in zip(weeks, at_risk, strict=True)]


def _changes(visit: Visit, weeks: list[dict[str, Any]]) -> list[str]:
    """What changed from one week to the next, in words; of figures that both weeks have."""
    sentences, words = [], visit.words
    for column in WEEK_COLUMNS:
        values = [week[column.name] for week in weeks]
        if not values or None in values:
            continue
        value, before = (words.text(column.kind, number) for number in values)
        change = "same" if values[0] == values[1] else "more" if values[0] > values[1] else "less"
        figure = words(column.title)
        sentences.append(words(f"overview.week_{change}", figure=figure, value=value, before=before))
    return sentences


def _weeks(visit: Visit, weeks: list[dict[str, Any]]) -> PageTable:
    rows = [
        week
        | {
            "days": visit.words(
                "overview.days", first=visit.words.day(week["first"]), last=visit.words.day(week["last"])
            )
        }
        for week in weeks
    ]
    columns = [TableColumn("days", "overview.week", is_row_header=True), *WEEK_COLUMNS]
    return PageTable("overview.weeks", columns, rows, "overview.no_weeks")


def _signed(visit: Visit, share: float) -> str:
    return ("+" if share > 0 else "") + visit.words.percent(share)


def _expected(visit: Visit, totals: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A total of the shop with its interval, or why there is none."""
    total, state, words = totals[name], totals["totals"][name], visit.words
    if total is None:
        return {"name": name, "value": None, "reason": state["reason"]}
    write = words.money if state["unit"] == totals["currency"] else words.number
    horizon = max(model["horizon_days"] for model in state["models"].values())
    return {
        "name": name,
        "value": write(total["expected"]),
        "low": None if total["low"] is None else write(total["low"]),
        "high": None if total["high"] is None else write(total["high"]),
        "days": horizon,
        "meaning": state["meaning"],
    }


def _stale(totals: Mapping[str, Any]) -> list[str]:
    states = totals["totals"].values()
    return list(dict.fromkeys(state["stale"] for state in states if state["stale"]))


def _chart(visit: Visit, months: list[dict[str, Any]]) -> Any:
    partial = frozenset(i for i, month in enumerate(months) if not month["complete"])
    labels = [visit.words.month(month["month"]) for month in months]
    series = Series(visit.words("overview.monthly"), labels, [m["net"] for m in months], partial=partial)
    return bars(series, visit.words.money)


def _months(months: list[dict[str, Any]]) -> PageTable:
    columns = [
        TableColumn("month", "overview.month", "month"),
        TableColumn("net", "overview.week_net", "money"),
        TableColumn("orders", "overview.orders", "number"),
        TableColumn("average_order_value", "overview.average", "money"),
        TableColumn("customers_new", "overview.new", "number"),
        TableColumn("customers_returning", "overview.returning", "number"),
        TableColumn("customers_lapsed", "overview.lapsed", "number"),
    ]
    return PageTable("overview.months", columns, months[::-1])


def _stages(visit: Visit, totals: Mapping[str, Any]) -> PageTable:
    (stages,) = (kind["segments"] for kind in totals["kinds"] if kind["name"] == "lifecycle_stage")
    rows = [
        {
            "stage": visit.words.choice("stage", stage["name"]),
            "customers": stage["customers"],
            "share": stage["share_of_customers"],
            "change": _change(stage),
            "net": stage["net_spend_365d"],
            "address": f"/console/customers?segment={stage['filter']}",
        }
        for stage in stages
    ]
    columns = [
        TableColumn("stage", "overview.stage", link="address"),
        TableColumn("customers", "overview.customers", "number"),
        TableColumn("share", "overview.share", "percent"),
        TableColumn("change", "overview.change", "change"),
        TableColumn("net", "overview.net_365d", "money"),
    ]
    return PageTable("overview.stages", columns, rows)


def _change(stage: Mapping[str, Any]) -> int | None:
    before = stage["customers_before"]
    return None if before is None else stage["customers"] - before
