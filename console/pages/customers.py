"""The list of customers: found by id or number, of a segment, in the order of a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import HTTPException
from starlette.datastructures import FormData

from console.changes import ConsoleChange, text
from console.page import ConsolePage, Content, Kind, PageTable, Row, TableColumn, Visit
from console.personal.lists import ADDRESS, CustomerPage, find_customer, key_of, list_customers
from console.words.features import feature_name, feature_value
from core.errors import NothingThere
from features.groups import features_of
from features.offline.rfm_grid import RFM_CELL
from serving.access.scopes import Scope
from serving.customers.schemas import CustomersQuery
from serving.customers.score_order import PRODUCTS
from serving.http.problems import Unprocessable
from serving.scores.scorer import Scorer
from serving.totals.overview import overview

LIMIT = 50
KINDS = ("lifecycle_stage", "value_tier", "rfm_segment")


def load(visit: Visit) -> Content:
    """A page of customers by the parameters ``q``, ``sort``, ``segment`` and ``cursor`` of the query.

    ``q`` is a customer's number or id. Whoever can send the form :func:`find` searches by it, since addresses
    get into logs.
    """
    scores = (*PRODUCTS, *visit.services[Scorer].champions.models)
    sorts = [f"-{name}" for name in scores] if visit.caller.may(Scope.SCORES) else []
    may_find = visit.may_change and not visit.is_masked
    searched = "" if may_find else visit.query.get("q", "").strip()
    chosen: dict[str, Any] = {
        "searched": searched,
        "sort": visit.query.get("sort", ""),
        "segments": [segment for segment in visit.query.getlist("segment") if segment],
    }
    kinds = segments_by_kind(visit)
    values = {
        "sorts": sorts,
        "kinds": kinds,
        "filters": _other_filters(visit, kinds, chosen["segments"]),
        "problem": visit.words("customers.unknown_id") if visit.query.get("unknown") else None,
        "may_find": may_find,
        "may_plan": visit.caller.may(Scope.DECISIONS),
        "total": 0,
        "as_of": None,
    } | chosen
    try:
        page = find_customer(visit, searched, KINDS) if searched else _listed(visit, chosen)
    except (NothingThere, Unprocessable) as error:
        problem = str(error)
    except HTTPException as error:
        if error.status_code != 404:
            raise
        problem = error.detail
    else:
        values |= {"total": page.total, "as_of": page.as_of}
        return Content(values, {"customers": _table(page.rows, visit, page.cursor)})
    return Content(values | {"problem": problem}, {"customers": _table([], visit, "")})


PAGE = ConsolePage(
    "customers", "/customers", Scope.CUSTOMERS, load, audited="listed customers", reads_models=True,
    jobs=("scores",),
)  # fmt: skip


def find(visit: Visit, form: FormData) -> str:
    """The address of the page of the customer whose id was entered; of the list if there is none."""
    if visit.is_masked:
        raise HTTPException(403, visit.words("personal.by_number"))
    key = key_of(visit, text(form, "customer_id"))
    return f"{ADDRESS}?unknown=1" if key is None else f"{ADDRESS}/{key}"


CHANGES = (ConsoleChange("/customers/find", Scope.CUSTOMERS, find, "searched for a customer"),)


def _listed(visit: Visit, chosen: Mapping[str, Any]) -> CustomerPage:
    query = CustomersQuery.model_validate(
        {
            "limit": LIMIT,
            "sort": chosen["sort"] or None,
            "segment": chosen["segments"],
            "cursor": visit.query.get("cursor") or None,
        }
    )
    return list_customers(visit, query)


def _other_filters(
    visit: Visit, kinds: Sequence[Mapping[str, Any]], segments: Sequence[str]
) -> list[dict[str, str]]:
    """The filters of the query that no menu of the form has, each with the address of the list without it."""
    in_menus = {segment["filter"] for kind in kinds for segment in kind["segments"]}
    return [
        {
            "filter": segment,
            "label": _filter_name(visit, *segment.partition(":")[::2]),
            "without": f"/console/customers?{_query(visit, without=segment)}",
        }
        for segment in dict.fromkeys(segments)
        if segment not in in_menus
    ]


def _filter_name(visit: Visit, feature: str, value: str) -> str:
    """A filter in the visitor's words, such as ``Recency 4, worth 2``."""
    words = visit.words
    if feature == RFM_CELL:
        recency, _, worth = value.partition("-")
        return words("customers.rfm_cell", recency=recency, worth=worth)
    named = value if feature == "taste_cluster" else feature_value(words, feature, "", value)
    return words("console.labelled", label=feature_name(words, feature, features_of(visit.home)), value=named)


def _query(visit: Visit, without: str) -> str:
    """The query of the list without a filter, from its first page on."""
    pairs = visit.query.multi_items()
    return urlencode(
        [(name, value) for name, value in pairs if value not in ("", without) and name != "cursor"]
    )


def _table(rows: Sequence[Row], visit: Visit, cursor: str) -> PageTable:
    words, sort = visit.words, visit.query.get("sort", "").removeprefix("-")
    columns = [TableColumn("customer_id", "customers.customer", "data", link="address")]
    if sort:
        money = "clv" in sort or sort in PRODUCTS
        kind: Kind = "money" if money else "percent"
        columns.append(TableColumn("value", "customers.value", kind, heading=words.choice("model", sort)))
    columns += [TableColumn(name, f"customers.{name}") for name in KINDS]
    named = [
        {**row, **row["segments"]}
        | {
            "lifecycle_stage": words.choice("stage", str(row["segments"].get("lifecycle_stage") or "")),
            "rfm_segment": words.choice("rfm", str(row["segments"].get("rfm_segment") or "")),
        }
        for row in rows
    ]
    pairs = [(name, value) for name, value in visit.query.multi_items() if name != "cursor" and value]
    following = urlencode([*pairs, ("cursor", cursor)]) if cursor else ""
    return PageTable("customers.title", columns, named, "customers.none", following)


def segments_by_kind(visit: Visit) -> list[dict[str, Any]]:
    """The segments that a list can be of, by kind."""
    english = visit.words.language == "en"
    return [
        {
            "name": kind["name"],
            "segments": [
                {"filter": s["filter"], "name": s["english"] if english else s["chinese"]}
                for s in kind["segments"]
            ],
        }
        for kind in overview(visit.home, {})["kinds"]
        if kind["name"] in KINDS
    ]
