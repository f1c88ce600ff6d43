"""Whether the actions paid: the programme against the holdout, by month and segment, and each action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException

from console.catalogue_names import action_names
from console.charts.series import Series, bars
from console.page import ConsolePage, Content, PageTable, Row, TableColumn, Visit
from console.words.messages import Translator
from core.errors import NothingThere
from serving.access.scopes import Scope
from serving.results import routes as api
from serving.results.schemas import Interval, MonthResults, Programme, ResultsQuery, ResultsResponse
from serving.scores.scorer import Scorer


def load(visit: Visit) -> Content:
    """The report as it was last stored.

    Raises:
        NothingThere: none was stored.
    """
    report, words = _report(visit), visit.words
    return Content(
        {
            "report": report,
            "verdict": report.words.zh if words.language == "zh" else report.words.en,
            "programme": _cards(report.programme, words) if report.programme else [],
            "chart": _chart(report.months, words) if _measured(report.months) else None,
            "uneven": report.holdout is not None and report.holdout.sample_ratio_p < 0.001,
        },
        {
            "months": _table("results.months", "month", "results.month", _months(report, words), report),
            "segments": _table(
                "results.segments", "segment", "results.segment", _segments(report, words), report
            ),
            "actions": _actions(visit, report),
        },
    )


PAGE = ConsolePage("results", "/results", Scope.SEGMENTS, load, jobs=("decisions", "release"))


def _report(visit: Visit) -> ResultsResponse:
    try:
        return api.results(ResultsQuery(), visit.services[Scorer])
    except HTTPException as error:
        raise NothingThere(visit.words("results.none")) from error


def _measured(months: Sequence[MonthResults]) -> bool:
    return any(month.net_margin for month in months)


def _cards(programme: Programme, words: Translator) -> list[dict[str, str]]:
    """The effect per customer and of all, and what was spent."""
    margin = programme.net_margin
    cards = []
    if margin is not None:
        interval = words("console.interval", low=words.money(margin.low), high=words.money(margin.high))
        cards.append({"name": "per_customer", "value": words.money(margin.estimate), "note": interval})
        total = words.money(programme.incremental_margin)
        cards.append({"name": "incremental_margin", "value": total, "note": ""})
    spent = words.money(programme.contact_cost + programme.discounts)
    parts = words(
        "results.spent_on", contacts=words.money(programme.contact_cost),
        discounts=words.money(programme.discounts),
    )  # fmt: skip
    cards.append({"name": "spent", "value": spent, "note": parts})
    if programme.return_on_cost is not None:
        value = words.number(programme.return_on_cost, 2)
        cards.append({"name": "return_on_cost", "value": value, "note": words("results.per_unit")})
    cards.append({"name": "contacts", "value": words.number(programme.contacts), "note": ""})
    return cards


def _chart(months: Sequence[MonthResults], words: Translator) -> Any:
    partial = frozenset(i for i, month in enumerate(months) if not month.complete)
    margins = [month.net_margin for month in months]
    series = Series(
        words("results.by_month"),
        [words.month(month.month) for month in months],
        [m.estimate if m else None for m in margins],
        [m.low if m else None for m in margins],
        [m.high if m else None for m in margins],
        partial,
    )
    return bars(series, words.money)


def _months(report: ResultsResponse, words: Translator) -> list[Row]:
    return [
        {
            "month": words.month(month.month)
            if month.complete
            else words("results.so_far", month=words.month(month.month))
        }
        | _row(month, words)
        for month in reversed(report.months)
    ]


def _segments(report: ResultsResponse, words: Translator) -> list[Row]:
    groups = {"lifecycle_stage": "stage", "rfm_segment": "rfm"}
    return [
        {
            "segment": words(
                "console.labelled",
                label=words.choice("customers", segment.feature),
                value=words.choice(groups.get(segment.feature, ""), segment.value),
            )
        }
        | _row(segment, words)
        for segment in report.segments
    ]


def _row(programme: Programme, words: Translator) -> dict[str, Any]:
    sentence = programme.words.zh if words.language == "zh" else programme.words.en
    return {
        "treated": programme.treated,
        "holdout": programme.holdout,
        **_bounds(programme.net_margin),
        "total": programme.incremental_margin,
        "spent": programme.contact_cost + programme.discounts,
        "words": sentence,
    }


def _bounds(interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {"estimate": None, "low": None, "high": None}
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high}


def _table(caption: str, name: str, title: str, rows: list[Row], report: ResultsResponse) -> PageTable:
    columns = [
        TableColumn(name, title),
        TableColumn("treated", "results.treated", "number"),
        TableColumn("holdout", "results.holdout", "number"),
        TableColumn("estimate", "results.per_customer", "money"),
        TableColumn("low", "results.low", "money"),
        TableColumn("high", "results.high", "money"),
        TableColumn("total", "results.incremental_margin", "money"),
        TableColumn("spent", "results.spent", "money"),
        TableColumn("words", "results.in_words", "long"),
    ]
    return PageTable(caption, columns, rows, "results.nobody", currency=report.currency)


def _actions(visit: Visit, report: ResultsResponse) -> PageTable:
    names, chinese = action_names(visit.home, visit.words.language), visit.words.language == "zh"
    rows = [
        {
            "action": names.get(action.action, action.action),
            "contacts": action.contacts,
            "conversions": action.conversions,
            "converted_net": action.converted_net,
            "spent": action.contact_cost + action.discounts,
            **_bounds(action.net_margin),
            "words": action.words.zh if chinese else action.words.en,
        }
        for action in report.actions
    ]
    columns = [
        TableColumn("action", "results.action"),
        TableColumn("contacts", "results.contacts", "number"),
        TableColumn("conversions", "results.conversions", "number"),
        TableColumn("converted_net", "results.converted_net", "money"),
        TableColumn("spent", "results.spent", "money"),
        TableColumn("estimate", "results.per_decision", "money"),
        TableColumn("low", "results.low", "money"),
        TableColumn("high", "results.high", "money"),
        TableColumn("words", "results.in_words", "long"),
    ]
    return PageTable("results.actions", columns, rows, "results.no_actions", currency=report.currency)
