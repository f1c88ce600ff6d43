"""The segments of one kind: their size and value, what is expected of them, what sets them apart.

Stages also have the flows between them, and RFM segments the grid that defines them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from console.charts.series import Series, bars
from console.page import ConsolePage, Content, Kind, PageTable, Row, TableColumn, Visit
from console.words.features import feature_name, feature_value
from features.groups import features_of
from features.offline.rfm_grid import RFM_CELL, cell_name
from serving.access.scopes import Scope
from serving.scores.scorer import Scorer
from serving.totals.measures import CUSTOMERS, MEASURES
from serving.totals.overview import overview

KINDS = ("lifecycle_stage", "rfm_segment", "value_tier", "taste_cluster")
Segment = Mapping[str, Any]


def load(visit: Visit) -> Content:
    """The segments of the kind that the query names, as of the last build; stages by default."""
    totals = overview(visit.home, visit.services[Scorer].champions.named)
    by_name = {kind["name"]: kind for kind in totals["kinds"]}
    chosen = visit.query.get("kind", "")
    kind = by_name[chosen if chosen in by_name else KINDS[0]]
    segments: list[Segment] = kind["segments"]
    tables = {
        "segments": _sizes(visit, segments),
        "expected": _expected(visit, segments),
        "differences": _differences(visit, segments),
    }
    if kind["name"] == "lifecycle_stage" and totals["moves"]:
        tables["moves"] = _moves(visit, totals["moves"])
    if kind["name"] == "rfm_segment" and totals.get("rfm_grid"):
        tables["grid"] = _grid(visit, totals["rfm_grid"])
    states = [totals["totals"][measure.name] for measure in MEASURES]
    return Content(
        {
            "as_of": totals["as_of"],
            "customers": totals["customers"],
            "kinds": [name for name in KINDS if name in by_name],
            "kind": kind["name"],
            "none": kind["customers_in_none"],
            "moves": totals["moves"],
            "days": _horizon(states),
            "problems": list(dict.fromkeys(s["reason"] or s["stale"] for s in states if _problem(s))),
            "chart": _chart(visit, segments),
        },
        tables,
    )


PAGE = ConsolePage("segments", "/segments", Scope.SEGMENTS, load, jobs=("scores",))


def members(filter: str) -> str:
    """The address of the list of a segment's customers."""
    return f"/console/customers?{urlencode({'segment': filter})}"


def _name(visit: Visit, segment: Segment) -> str:
    return str(segment["chinese" if visit.words.language == "zh" else "english"])


def _meaning(visit: Visit, segment: Segment) -> str:
    if visit.words.language == "en":
        return str(segment["meaning"])
    if segment["filter"].startswith("taste_cluster:"):
        return visit.words("segments.taste", taste=segment["name"])
    return visit.words.choice("segment_meaning", segment["name"])


def _problem(state: Mapping[str, Any]) -> bool:
    return bool(state["reason"] or state["stale"])


def _horizon(states: Sequence[Mapping[str, Any]]) -> int | None:
    """The days for which revenue is expected; None without a model of it."""
    model = states[0]["models"].get("clv")
    return None if model is None else int(model["horizon_days"])


def _sizes(visit: Visit, segments: Sequence[Segment]) -> PageTable:
    rows = [
        {
            "segment": _name(visit, segment),
            "address": members(segment["filter"]),
            "meaning": _meaning(visit, segment),
            "customers": segment["customers"],
            "share": segment["share_of_customers"],
            "change": _change(segment),
            "net": segment["net_spend_365d"],
            "net_share": segment["share_of_net_spend_365d"],
            "each": segment["net_spend_365d_per_customer"],
            "newsletter": segment["newsletter_share"],
        }
        for segment in segments
    ]
    columns = [
        TableColumn("segment", "segments.segment", link="address", is_row_header=True, note="meaning"),
        TableColumn("meaning", "segments.meaning", is_exported_only=True),
        TableColumn("customers", "segments.customers", "number"),
        TableColumn("share", "segments.share", "percent"),
        TableColumn("change", "segments.change", "change"),
        TableColumn("net", "segments.net", "money"),
        TableColumn("net_share", "segments.net_share", "percent"),
        TableColumn("each", "segments.each", "money"),
        TableColumn("newsletter", "segments.newsletter", "percent"),
    ]
    return PageTable("segments.sizes", columns, rows)


def _change(segment: Segment) -> int | None:
    before = segment["customers_before"]
    return None if before is None else segment["customers"] - before


def _expected(visit: Visit, segments: Sequence[Segment]) -> PageTable:
    """The totals that the models predict, each with its interval; a segment without any is left out."""
    rows = []
    for segment in segments:
        totals = {measure.name: segment[measure.name] for measure in MEASURES if segment[measure.name]}
        row: dict[str, Any] = {"segment": _name(visit, segment), "address": members(segment["filter"])}
        for name, total in totals.items():
            kind = _kind(name)
            expected = round(total["expected"]) if kind == "number" else total["expected"]
            row |= {f"{name}.expected": expected, f"{name}.interval": _interval(visit, kind, total)}
            row |= {f"{name}.{bound}": total[bound] for bound in ("low", "high")}
        if totals:
            rows.append(row)
    columns = [TableColumn("segment", "segments.segment", link="address", is_row_header=True)]
    for measure in MEASURES:
        name, kind = measure.name, _kind(measure.name)
        low, high = f"segments.{name}_low", f"segments.{name}_high"
        columns += [
            TableColumn(f"{name}.expected", f"overview.{name}", kind, note=f"{name}.interval"),
            TableColumn(f"{name}.low", low, kind, is_exported_only=True),
            TableColumn(f"{name}.high", high, kind, is_exported_only=True),
        ]
    return PageTable("segments.expected", columns, rows, "segments.no_totals")


def _kind(name: str) -> Kind:
    (unit,) = (measure.unit for measure in MEASURES if measure.name == name)
    return "number" if unit == CUSTOMERS else "money"


def _interval(visit: Visit, kind: Kind, total: Mapping[str, Any]) -> str:
    """The interval of a total; empty if the model has none."""
    if total["low"] is None:
        return ""
    low, high = (visit.words.text(kind, total[bound]) for bound in ("low", "high"))
    return visit.words("console.interval", low=low, high=high)


def _differences(visit: Visit, segments: Sequence[Segment]) -> PageTable:
    known, words = features_of(visit.home), visit.words
    rows = [
        {
            "segment": _name(visit, segment),
            "feature": feature_name(words, difference["feature"], known),
            "address": f"/console/features/{difference['feature']}",
            "median": feature_value(words, difference["feature"], difference["unit"], difference["median"]),
            "others": feature_value(
                words, difference["feature"], difference["unit"], difference["median_of_others"]
            ),
        }
        for segment in segments
        for difference in segment["differs_by"]
    ]
    columns = [
        TableColumn("segment", "segments.segment", is_row_header=True),
        TableColumn("feature", "segments.feature", link="address"),
        TableColumn("median", "segments.median"),
        TableColumn("others", "segments.others"),
    ]
    return PageTable("segments.differences", columns, rows, "segments.no_differences")


def _moves(visit: Visit, moves: Mapping[str, Any]) -> PageTable:
    """A row per stage: the shares of its customers by their stage a month later."""
    stages = list(moves["customers"])
    rows: list[Row] = [
        {
            "stage": visit.words.choice("stage", stage),
            "customers": round(sum(moves["customers"][stage].values()) / moves["months"]),
            **moves["rates"].get(stage, {}),
        }
        for stage in stages
    ]
    columns = [
        TableColumn("stage", "segments.before", is_row_header=True),
        TableColumn("customers", "segments.a_month", "number"),
    ]
    for stage in stages:
        name = visit.words.choice("stage", stage)
        columns.append(TableColumn(stage, "segments.after", "percent", heading=name, heat=1))
    return PageTable("segments.moves", columns, rows)


def _grid(visit: Visit, cells: Sequence[Mapping[str, Any]]) -> PageTable:
    """A row per recency, the latest first, and a column per worth; each cell with its RFM segment."""
    words = visit.words
    fifths = range(1, 6)
    rows: dict[int, dict[str, Any]] = {
        recency: {"recency": _fifth(visit, "recency", recency)} for recency in reversed(fifths)
    }
    for cell in cells:
        worth, segment = cell["worth"], cell["segment"]
        rows[cell["recency"]] |= {
            str(worth): cell["customers"],
            f"{worth}.segment": words.choice("rfm", segment),
            f"{worth}.address": members(f"{RFM_CELL}:{cell_name(cell['recency'], worth)}"),
        }
    most = max(cell["customers"] for cell in cells)
    columns = [TableColumn("recency", "segments.recency", is_row_header=True)]
    columns += [
        TableColumn(
            str(worth), "segments.worth", "number", f"{worth}.address", _fifth(visit, "worth", worth),
            heat=most, note=f"{worth}.segment",
        )
        for worth in fifths
    ]  # fmt: skip
    return PageTable("segments.grid", columns, list(rows.values()))


def _fifth(visit: Visit, name: str, fifth: int) -> str:
    """A fifth as a heading; the lowest and the highest say what they mean."""
    number = visit.words.number(fifth)
    return visit.words(f"segments.{name}_{fifth}", fifth=number) if fifth in (1, 5) else number


def _chart(visit: Visit, segments: Sequence[Segment]) -> Any:
    """What each segment is expected to bring; None without a prediction."""
    totals = [segment["predicted_revenue"] for segment in segments]
    if not any(totals):
        return None
    values, low, high = ([t and t[name] for t in totals] for name in ("expected", "low", "high"))
    names = [_name(visit, segment) for segment in segments]
    series = Series(visit.words("overview.predicted_revenue"), names, values, low, high)
    return bars(series, visit.words.money)
