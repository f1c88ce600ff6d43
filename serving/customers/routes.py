"""Customers: their list, their timelines and their portraits."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Response

from core.errors import NothingThere
from events.queries.timeline import Position, Timeline
from features.groups import features_of
from features.offline.current import NoSuchSegment, load_current
from records.decisions import DecisionLog
from serving.access.audit import audits_look
from serving.access.authentication import Caller, CallerDep, needs
from serving.access.scopes import Scope
from serving.customers.contacts import newest_contacts, page_with_contacts
from serving.customers.portrait import portray
from serving.customers.schemas import (
    CustomersQuery,
    CustomersResponse,
    ListedCustomer,
    Portrait,
    PortraitQuery,
)
from serving.customers.score_order import ScoreOrders
from serving.customers.sorted_list import SortedList, find_sorted
from serving.customers.timeline_schemas import TimelineQuery, TimelineResponse
from serving.files.streaming import stream_file
from serving.files.tables import MEDIA_TYPES as FILES
from serving.files.tables import encoded
from serving.http import timing
from serving.http.cursors import CustomersCursor, TimelineCursor
from serving.http.encoded_slashes import CustomerRoute
from serving.http.metrics import MetricsDep
from serving.http.params import CustomerIdPath
from serving.http.problems import Unprocessable, responses
from serving.http.services import service
from serving.scores.dependencies import ScorerDep
from serving.scores.inference import UNKNOWN
from serving.scores.score import count_outcomes
from serving.scores.scorer import Scorer

router = APIRouter(
    prefix="/v1/customers",
    tags=["customers"],
    dependencies=[needs(Scope.CUSTOMERS)],
    route_class=CustomerRoute,
)
# These routes are no coroutines: they read files, so each runs in a thread.
TimelineDep = Annotated[Timeline, service(Timeline)]
LogDep = Annotated[DecisionLog, service(DecisionLog)]
OrdersDep = Annotated[ScoreOrders, service(ScoreOrders)]


@router.get(
    "",
    operation_id="list_customers",
    dependencies=[audits_look("listed customers")],
    response_model=CustomersResponse,
    response_description="A page of customers as JSON, or a whole sorted list from the cursor on as a file.",
    responses={
        200: {"content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in FILES.values()}},
        **responses(403, 404, 422, 503),
    },
    response_model_exclude_unset=True,  # the fields of sorted lists
)
def customers(
    query: Annotated[CustomersQuery, Query()], scorer: ScorerDep, orders: OrdersDep, caller: CallerDep
) -> CustomersResponse | Response:
    """The customers of the last `patron build`, all or those of a segment, page by page.

    Pages follow the order in which customers became known, so they stay whole while a build goes on. With
    `sort`, they are those of the newest score job of all customers, in the order of a score.
    """
    if query.format == "json":
        return customers_page(query, scorer, orders, caller)
    if query.sort is None:
        raise Unprocessable("format: files are of sorted lists; add sort, such as sort=-clv")
    listed = _sorted(query, scorer, orders, caller, query.sort)
    chunks = encoded(listed.tables(scorer.identity), query.format, scorer.shop.time_zone)
    return stream_file(chunks, FILES[query.format], f"customers.{query.format}")


def customers_page(
    query: CustomersQuery, scorer: Scorer, orders: ScoreOrders, caller: Caller
) -> CustomersResponse:
    """A page of the list of customers; see :func:`customers`."""
    if query.sort is not None:
        return _sorted(query, scorer, orders, caller, query.sort).page(scorer.identity, query.limit)
    now = load_current(scorer.home)
    try:
        keys = now.members(query.segment)
    except NoSuchSegment as error:
        raise Unprocessable(f"segment: {error}") from error
    first = 0
    if query.cursor is not None:
        first = int(np.searchsorted(keys, CustomersCursor.read(query.cursor).after_key, side="right"))
    chosen = keys[first : first + query.limit]
    ids = scorer.identity.ids(chosen.tolist())
    more = first + query.limit < len(keys)
    return CustomersResponse(
        features_as_of=now.as_of,
        total=len(keys),
        customers=[
            ListedCustomer(customer_id=ids[key], segments=segments)
            for key, segments in zip(chosen.tolist(), now.segments(chosen), strict=True)
            if key in ids
        ],
        next_cursor=CustomersCursor(after_key=int(chosen[-1])).text() if more else None,
    )


def _sorted(
    query: CustomersQuery, scorer: Scorer, orders: ScoreOrders, caller: Caller, sort: str
) -> SortedList:
    if not caller.may(Scope.SCORES):
        raise HTTPException(403, f"sort needs the scope {Scope.SCORES}, which the key lacks")
    try:
        return find_sorted(scorer, orders, query, sort)
    except NothingThere as error:
        raise HTTPException(404, str(error)) from error


@router.get(
    "/{customer_id:path}/timeline",
    operation_id="read_timeline",
    dependencies=[audits_look("looked at a timeline")],
    response_description="A page of the customer's timeline.",
    responses=responses(404, 422, 503),
)
def timeline(
    customer_id: CustomerIdPath,
    query: Annotated[TimelineQuery, Query()],
    scorer: ScorerDep,
    timeline: TimelineDep,
    log: LogDep,
) -> TimelineResponse:
    """What a customer did, what was learnt of them, and how the company contacted them, newest first.

    All pages tell what was known when the first was read: events that come later change none.
    """
    key = scorer.identity.keys([customer_id]).get(customer_id)
    if key is None:
        raise HTTPException(404, UNKNOWN)
    as_of, below = scorer.shop.now(), None
    if query.cursor is not None:
        cursor = TimelineCursor.read(query.cursor)
        if cursor.customer_key != key:
            raise Unprocessable("cursor: it is of another customer's timeline")
        as_of, below = min(cursor.as_of, as_of), Position(cursor.time, cursor.kind, cursor.id)
    page = page_with_contacts(timeline, log, key, as_of, query.limit, below, query.kind)
    after = page.end and TimelineCursor(customer_key=key, as_of=as_of, **page.end._asdict()).text()
    events = [{"kind": e.position.kind, "time": e.position.time} | e.details for e in page.events]
    return TimelineResponse.model_validate(
        {
            "customer_id": customer_id,
            "as_of": as_of,
            "currency": scorer.shop.currency,
            "events": events,
            "next_cursor": after,
        }
    )


@router.get(
    "/{customer_id:path}",
    operation_id="read_customer",
    dependencies=[audits_look("looked at a customer")],
    response_description="The customer's portrait.",
    responses=responses(404, 422, 503),
)
def customer(
    customer_id: CustomerIdPath,
    query: Annotated[PortraitQuery, Query()],
    scorer: ScorerDep,
    metrics: MetricsDep,
    log: LogDep,
) -> Portrait:
    """One customer: every fact, every score with its reasons, and what marketers call it all.

    A customer of whom no features are built yet has a reason in place of facts and scores.
    """
    timing.current().mark("receive")
    (entry,) = scorer.score([customer_id], route="portrait", facts=True)
    if not entry.known:
        raise HTTPException(404, UNKNOWN)
    metrics.count(count_outcomes([entry]))
    key = scorer.identity.keys([customer_id])[customer_id]
    contacts = newest_contacts(log, key, scorer.shop.now())
    known = features_of(scorer.home)
    return portray(entry, entry.models, scorer.shop, query.language, known, contacts)
