"""Audiences: a rule with its size, value and reach before it is saved; all audiences; their customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import HTTPException
from starlette.datastructures import FormData
from starlette.responses import Response

from console.changes import ConsoleChange, text
from console.page import ConsoleFile, ConsolePage, Content, PageTable, TableColumn, Visit
from console.personal.lists import list_members
from console.personal.rules import list_audiences, size_of
from core.errors import NothingThere, PatronError
from decisions.names.channels import CHANNELS
from serving.access.scopes import Scope
from serving.audiences import routes as api
from serving.audiences.reach import CurrentReach
from serving.audiences.schemas import MAX_LABEL, AudienceContent, MembersQuery
from serving.http.cursors import MAX_CURSOR_LENGTH
from serving.scores.scorer import Scorer

LIMIT = 50
FILE_KINDS = ("csv", "xlsx")
EXAMPLES = (
    "value_tier in (A, B) and recency_days > 90",
    "churn > 0.5 and clv > 200",
    "orders_total = 1 and recency_days between 30 and 90",
    "lifecycle_stage = prospect and visits_30d >= 2",
)
"""Rules to begin with."""


def load(visit: Visit) -> Content:
    """The builder with the parameters ``rule`` or ``name`` of the query, and all audiences.

    With ``part=preview``, which is requested while a user types, audiences are not counted.
    """
    edited = _edited(visit, visit.query.get("name", ""))
    rule = visit.query.get("rule", edited["rule"] if edited else "").strip()
    size, problem = _size(visit, rule)
    is_part = visit.query.get("part") == "preview"
    listed = {"as_of": None, "audiences": []} if is_part else list_audiences(visit)
    rows = [*listed["audiences"], *([size] if size else [])]
    return Content(
        {
            "as_of": listed["as_of"],
            "rule": rule,
            "edited": edited,
            "size": size,
            "problem": problem,
            "examples": EXAMPLES,
            "max_label": MAX_LABEL,
            "reach_as_of": next((row["reach_as_of"] for row in rows), None),
            "counting": any(row["reach"] is None for row in rows) and _reach(visit).is_counting,
            "may_save": _may_save(visit),
        },
        {"audiences": _audiences(visit, listed["audiences"])},
    )


def load_audience(visit: Visit) -> Content:
    """The customers of an audience, by the name in the path.

    Raises:
        HTTPException: 404: there is no such audience.
        NothingThere: nothing was built yet.
    """
    name, choice = visit.path["name"], visit.words.choice
    try:
        (audience,) = list_audiences(visit, name)["audiences"]
    except NothingThere as error:
        raise HTTPException(404, str(error)) from error
    try:
        page = list_members(visit, name, LIMIT, visit.query.get("cursor", "")[:MAX_CURSOR_LENGTH])
    except HTTPException as error:
        if error.status_code != 404:
            raise
        raise NothingThere(error.detail) from error
    rows = [
        {
            **row,
            "lifecycle_stage": choice("stage", row["lifecycle_stage"] or ""),
            "rfm_segment": choice("rfm", row["rfm_segment"] or ""),
        }
        for row in page.rows
    ]
    columns = [
        TableColumn("customer_id", "customers.customer", "data", link="address", is_row_header=True),
        TableColumn("churn", "audiences.churn", "percent"),
        TableColumn("propensity", "audiences.propensity", "percent"),
        TableColumn("clv", "audiences.clv", "money"),
        TableColumn("lifecycle_stage", "customers.lifecycle_stage"),
        TableColumn("value_tier", "customers.value_tier"),
        TableColumn("rfm_segment", "customers.rfm_segment"),
    ]
    following = urlencode({"cursor": page.cursor}) if page.cursor else ""
    return Content(
        {
            "audience": audience,
            "label": _label(visit, audience),
            "total": page.total,
            "as_of": page.as_of,
            "may_save": _may_save(visit),
        },
        {"customers": PageTable("audiences.customers", columns, rows, "audiences.nobody", following)},
        name,
    )


def load_file(visit: Visit) -> Response:
    """All customers of an audience as a file, see ``GET /v1/audiences/{name}/customers``."""
    kind = visit.path["kind"]
    if kind not in FILE_KINDS:
        raise HTTPException(404, visit.words("console.no_table"))
    query = MembersQuery.model_validate({"format": kind})
    response = api.customers(visit.path["name"], query, visit.services[Scorer], visit.caller)
    if not isinstance(response, Response):
        raise TypeError("a file is no page of customers")
    return response


def save(visit: Visit, form: FormData) -> str:
    """Save an audience by its fields ``name``, ``rule``, ``en`` and ``zh``; with ``digest``, change it."""
    name = text(form, "name")
    labels = {language: text(form, language) for language in ("en", "zh") if text(form, language)}
    content = AudienceContent.model_validate({"rule": text(form, "rule"), "text": labels})
    api.put(name, content, visit.services[Scorer], _reach(visit), text(form, "digest") or None)
    return address(name)


def delete(visit: Visit, form: FormData) -> str:
    """Delete the audience in the path, if its digest is still that of the form."""
    api.delete(visit.path["name"], visit.services[Scorer], text(form, "digest") or None)
    return "/console/audiences"


PAGE = ConsolePage("audiences", "/audiences", Scope.SEGMENTS, load, jobs=("scores",))
AUDIENCE_PAGE = ConsolePage(
    "audience", "/audiences/{name}", Scope.CUSTOMERS, load_audience, in_menu=False,
    audited="listed customers", jobs=("scores",),
)  # fmt: skip
FILES = (ConsoleFile("/audiences/{name}/customers.{kind}", Scope.CUSTOMERS, load_file, "listed customers"),)
CHANGES = (
    ConsoleChange("/audiences/save", Scope.ACTIONS, save, "saved an audience"),
    ConsoleChange("/audiences/{name}/delete", Scope.ACTIONS, delete, "deleted an audience"),
)


def address(name: str) -> str:
    """The address of an audience's page."""
    return f"/console/audiences/{quote(name, safe='')}"


def _may_save(visit: Visit) -> bool:
    return visit.may_change and visit.caller.may(Scope.ACTIONS)


def _reach(visit: Visit) -> CurrentReach:
    return visit.services[CurrentReach]


def _edited(visit: Visit, name: str) -> Mapping[str, Any] | None:
    """The audience of a name; None if there is none."""
    try:
        (audience,) = list_audiences(visit, name)["audiences"]
    except NothingThere:
        return None
    return dict(audience)


def _size(visit: Visit, rule: str) -> tuple[Mapping[str, Any] | None, str | None]:
    """The audience that a rule makes, with its reach in words; or why it makes none."""
    if not rule:
        return None, None
    try:
        listed = size_of(visit, rule)
    except PatronError as error:
        return None, str(error)
    (size,) = listed["audiences"]
    share = size["customers"] / listed["customers"] if listed["customers"] else None
    return {**size, "share": share, "reached": _reached(visit, size)}, None


def _label(visit: Visit, audience: Mapping[str, Any]) -> str:
    return visit.words.both(audience["text"]) or audience["name"]


def _reached(visit: Visit, audience: Mapping[str, Any]) -> list[tuple[str, int, float | None]]:
    """By channel its name, how many customers it reaches, and their share of the audience."""
    shares = audience["reach_share"] or {}
    chinese = visit.words.language == "zh"
    return [
        (CHANNELS.get(channel, channel) if chinese else channel, count, shares.get(channel))
        for channel, count in (audience["reach"] or {}).items()
    ]


def _audiences(visit: Visit, audiences: list[Mapping[str, Any]]) -> PageTable:
    rows = [
        {
            "label": _label(visit, audience),
            "address": address(audience["name"]),
            "rule": audience["rule"],
            "rule_as_code": f"`{audience['rule']}`",
            "customers": audience["customers"],
            "clv": audience["clv"],
            "reach": visit.words("audiences.and").join(
                f"{channel} {visit.words.percent(share)}" for channel, _, share in _reached(visit, audience)
            ),
        }
        for audience in audiences
    ]
    columns = [
        TableColumn("label", "audiences.audience", link="address", is_row_header=True, note="rule_as_code"),
        TableColumn("rule", "audiences.rule", is_exported_only=True),
        TableColumn("customers", "audiences.customers", "number"),
        TableColumn("clv", "audiences.clv", "money"),
        TableColumn("reach", "audiences.reach"),
    ]
    return PageTable("audiences.all", columns, rows, "audiences.none")
