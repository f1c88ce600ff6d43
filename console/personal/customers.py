"""One customer for a page: the portrait, the timeline and the next best actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import HTTPException

from console.page import Visit
from console.personal.portraits import mask_event, mask_portrait
from core.errors import PatronError
from events.queries.timeline import Timeline
from features.groups import features_of
from records.decisions import DecisionLog
from serving.access.scopes import Scope
from serving.customers import routes as api
from serving.customers.schemas import Portrait, PortraitQuery
from serving.customers.timeline_schemas import TimelineEvent, TimelineQuery
from serving.decisions import routes as decisions_api
from serving.decisions.decider import Decider
from serving.decisions.schemas import ActionsRequest, NextBestActions
from serving.http.metrics import Metrics
from serving.scores.scorer import Scorer

MAX_DIGITS = 18
"""Of the number of a customer."""


@dataclass(frozen=True)
class ShownCustomer:
    """A customer as the visitor may see them.

    Attributes:
        key: the customer's number in the shop.
        portrait: ``customer_id`` is how the page names the customer.
        events: the newest ones, newest first.
        problem: why the events cannot be read; None if they were.
    """

    key: int
    portrait: Portrait
    events: Sequence[TimelineEvent]
    problem: str | None


def read_customer(visit: Visit, key: str, events: int) -> ShownCustomer:
    """A customer by the key in an address.

    Args:
        events: so many of the newest are read.

    Raises:
        HTTPException: 404: nobody has this key.
    """
    scorer, log, language = visit.services[Scorer], visit.services[DecisionLog], visit.words.language
    number, customer_id = id_of(visit, key)
    query = PortraitQuery(language=language)
    portrait = api.customer(customer_id, query, scorer, visit.services[Metrics], log)
    newest, problem = TimelineQuery(limit=events), None
    try:
        timeline = api.timeline(customer_id, newest, scorer, visit.services[Timeline], log).events
    except PatronError as error:  # such as a warehouse that does not answer, without which all else is known
        timeline, problem = [], str(error)
    if not visit.is_masked:
        return ShownCustomer(number, portrait, timeline, problem)
    masked = mask_portrait(portrait, number, language, features_of(visit.home))
    return ShownCustomer(number, masked, [mask_event(event) for event in timeline], problem)


def next_best_actions(visit: Visit, key: int) -> NextBestActions:
    """The next best actions as a preview, which uses nothing up.

    Raises:
        HTTPException: 403: the visitor sees customers masked, whom the texts of actions may name; or lacks
            the scope.
    """
    if visit.is_masked:
        raise HTTPException(403, visit.words("personal.no_actions"))
    if not visit.caller.may(Scope.DECISIONS):
        raise HTTPException(403, visit.words("console.not_permitted", scope=str(Scope.DECISIONS)))
    _, customer_id = id_of(visit, str(key))
    request = ActionsRequest(preview=True, language=visit.words.language)
    return decisions_api.next_best_actions(customer_id, request, visit.services[Decider], visit.caller)


def id_of(visit: Visit, key: str) -> tuple[int, str]:
    """The key as a number, and the id of the customer.

    Raises:
        HTTPException: 404: nobody has this key.
    """
    is_number = key.isascii() and key.isdecimal() and len(key) <= MAX_DIGITS
    ids = visit.services[Scorer].identity.ids([int(key)]) if is_number else {}
    if not ids:
        raise HTTPException(404, visit.words("customer.unknown"))
    ((number, customer_id),) = ids.items()
    return number, customer_id
