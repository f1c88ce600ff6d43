"""One customer: the portrait, scores with reasons, next best actions and the timeline."""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException

from console.page import ConsolePage, Content, PageTable, TableColumn, Visit
from core.errors import PatronError
from events.queries.timeline import Timeline
from records.decisions import DecisionLog
from serving.access.scopes import Scope
from serving.customers import routes as api
from serving.customers.schemas import Portrait, PortraitQuery
from serving.customers.timeline_schemas import TimelineQuery
from serving.decisions import routes as decisions_api
from serving.decisions.decider import Decider
from serving.decisions.schemas import ActionsRequest
from serving.http.metrics import Metrics
from serving.scores.scorer import Scorer

EVENTS = 30


def load(visit: Visit) -> Content:
    """A customer by the id in the path.

    Raises:
        HTTPException: 404: nobody has this id.
    """
    customer_id, scorer = visit.path["customer_id"], visit.services[Scorer]
    language = visit.words.language
    query = PortraitQuery(language=language)
    log = visit.services[DecisionLog]
    portrait = api.customer(customer_id, query, scorer, visit.services[Metrics], log)
    newest = TimelineQuery(limit=EVENTS)
    timeline = api.timeline(customer_id, newest, scorer, visit.services[Timeline], log)
    return Content(
        {
            "customer": portrait,
            "scores": _scores(visit, portrait),
            "actions": _actions(visit, customer_id),
            "events": timeline.events,
        },
        {"facts": _facts(portrait)},
        str(scorer.identity.keys([customer_id])[customer_id]),
    )


PAGE = ConsolePage(
    "customer", "/customers/{customer_id:path}", Scope.CUSTOMERS, load, False, "looked at a customer"
)


def _scores(visit: Visit, portrait: Portrait) -> list[dict[str, Any]]:
    """The scores as text, each with its reasons in words."""
    words, shown = visit.words, []
    for name, score in portrait.scores.items():
        money = name == "clv"
        write = words.money if money else words.percent
        shown.append(
            {
                "name": name,
                "value": None if score.score is None else write(score.score),
                "low": None if score.low is None else write(score.low),
                "high": None if score.high is None else write(score.high),
                "band": portrait.bands.get(name),
                "rank": score.rank,
                "percentile": score.percentile,
                "reason": score.reason,
                "summary": score.summary,
            }
        )
    return shown


def _actions(visit: Visit, customer_id: str) -> dict[str, Any]:
    """The next best actions as a preview, which uses nothing up; or why there are none."""
    if not visit.caller.may(Scope.DECISIONS):
        return {"reason": visit.words("console.not_permitted", scope=str(Scope.DECISIONS)), "decision": None}
    request = ActionsRequest(preview=True, language=visit.words.language)
    try:
        decision = decisions_api.next_best_actions(
            customer_id, request, visit.services[Decider], visit.caller
        )
    except (PatronError, HTTPException) as error:
        return {"reason": error.detail if isinstance(error, HTTPException) else str(error), "decision": None}
    return {"reason": None, "decision": decision}


def _facts(portrait: Portrait) -> PageTable:
    rows = [
        {"group": group, "name": name, "value": fact.value, "unit": fact.unit, "meaning": fact.meaning}
        for group, facts in (portrait.facts or {}).items()
        for name, fact in facts.items()
    ]
    columns = [
        TableColumn("name", "customer.fact"),
        TableColumn("value", "customer.value"),
        TableColumn("unit", "customer.unit"),
        TableColumn("meaning", "customer.meaning"),
    ]
    return PageTable("customer.facts", columns, rows)
