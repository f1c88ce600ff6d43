"""The next best action of a customer, and what the customer did about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from records import outcomes
from serving.access.audit import audits_change
from serving.access.authentication import CallerDep, needs
from serving.access.scopes import Scope
from serving.decisions.decider import DeciderDep
from serving.decisions.rendering import Speaker
from serving.decisions.schemas import (
    ActionsRequest,
    NextBestActions,
    OutcomeKind,
    OutcomeRecorded,
    OutcomeRequest,
)
from serving.http.encoded_slashes import CustomerRoute
from serving.http.params import CustomerIdPath
from serving.http.problems import Unprocessable, leads_to, responses
from serving.scores.inference import UNKNOWN

router = APIRouter(prefix="/v1", tags=["decisions"], route_class=CustomerRoute)
# These routes are no coroutines: they wait for a commit, so each runs in a thread.
DecisionId = Annotated[
    str, Path(max_length=64, description="As the decision names it.", examples=["3f6c1d2e9a7b4c5d"])
]
OutcomeKindInPath = Annotated[OutcomeKind, Path(description="As it was recorded.", examples=["converted"])]


@router.post(
    "/customers/{customer_id:path}/next-best-actions",
    operation_id="decide_next_best_actions",
    response_description="The decision, which stands until the end of the shop's day.",
    dependencies=[needs(Scope.DECISIONS)],
    responses=responses(400, 404, 422, 503)
    | {200: leads_to("report_outcome", "decision_id", "What the customer did about it.")},
)
def next_best_actions(
    customer_id: CustomerIdPath, request: ActionsRequest, decider: DeciderDep, caller: CallerDep
) -> NextBestActions:
    """What to do for a customer now, why, and why nothing else.

    Asked again on the same day of the shop, with the same channels and unchanged actions, the answer is
    the same decision, until it was accepted or rejected. It is logged before the response is sent, and its
    place within the contact limits is reserved. With `preview` nothing is written or reserved.
    """
    key = decider.scorer.identity.keys([customer_id]).get(customer_id)
    if key is None:
        raise HTTPException(404, UNKNOWN)
    rules = decider.rules()
    question = decider.question(rules, request.channels, caller.name or "api")
    make = decider.preview if request.preview else decider.decide
    (decision,) = make({key: customer_id}, question, rules)
    speaker = Speaker(rules.canonical, request.language)
    return speaker.answer(decision, with_scores=caller.may(Scope.SCORES))


@router.post(
    "/decisions/{decision_id}/outcome",
    operation_id="report_outcome",
    response_description="The outcome, as it is kept.",
    dependencies=[needs(Scope.OUTCOMES)],
    responses=responses(400, 404, 409, 422, 503)
    | {200: leads_to("remove_outcome", "decision_id", "Its removal, if it was a mistake.")},
)
def outcome(decision_id: DecisionId, request: OutcomeRequest, decider: DeciderDep) -> OutcomeRecorded:
    """Report what the customer did about a decision. Repeating a report changes nothing.

    `not_sent` gives the place within the contact limits back, unless it was reported as sent or shown.
    """
    at = now = decider.scorer.shop.now()
    if request.at is not None and (at := request.at) > now:
        raise Unprocessable(f"at: it is after the present moment of the shop, {now:%Y-%m-%dT%H:%M:%SZ}")
    try:
        new, at = outcomes.record(decider.log, decision_id, request.outcome, request.value, at)
    except outcomes.UnknownDecision as error:
        raise HTTPException(404, str(error)) from error
    except outcomes.ConflictingOutcome as error:
        raise HTTPException(409, str(error)) from error
    return OutcomeRecorded(decision_id=decision_id, outcome=request.outcome, recorded=new, at=at)


@router.delete(
    "/decisions/{decision_id}/outcome/{kind}",
    status_code=204,
    operation_id="remove_outcome",
    response_description="The outcome is not recorded any more, or never was.",
    dependencies=[needs(Scope.OUTCOMES), audits_change("removed an outcome")],
    responses=responses(404, 422, 503),
)
def remove_outcome(decision_id: DecisionId, kind: OutcomeKindInPath, decider: DeciderDep) -> None:
    """Remove an outcome that was reported by mistake.

    The contact is then what the other outcomes say: sent without `shown`, none without any of them.
    """
    try:
        outcomes.remove(decider.log, decision_id, kind)
    except outcomes.UnknownDecision as error:
        raise HTTPException(404, str(error)) from error
