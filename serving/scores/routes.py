"""Scores of customers, and explanations of earlier scores."""

from __future__ import annotations

import asyncio
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, HTTPException, Path, Request, Response
from msgspec import to_builtins
from pydantic_core import to_json

from records.predictions import FLUSH_SECONDS
from serving.access.audit import audits_look
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http import timing
from serving.http.fast_route import FastRoute
from serving.http.metrics import Metrics
from serving.http.problems import Unprocessable, leads_to, responses
from serving.http.services import service, services_of
from serving.scores import batch, schemas
from serving.scores.context import check_context
from serving.scores.dependencies import known_models
from serving.scores.explainer import Explainer
from serving.scores.response import customer_as_response, encode
from serving.scores.score import ScoredCustomer, count_outcomes
from serving.scores.scorer import Scorer

router = APIRouter(prefix="/v1", tags=["scores"], dependencies=[needs(Scope.SCORES)], route_class=FastRoute)
ExplainerDep = Annotated[Explainer, service(Explainer)]
FEW = 16  # the number of customers up to which scoring is faster than a switch of threads
MAX_LARGE = 2  # larger requests scored at the same time
_large = CapacityLimiter(MAX_LARGE)


@router.post(
    "/scores",
    operation_id="score_customers",
    response_description="One entry per customer, in the order of the request.",
    response_model=schemas.ScoresResponse,
    responses=responses(400, 422, 503)
    | {200: leads_to("explain_prediction", "prediction_id", "Why, also later.", "/customers/0")},
)
async def scores(body: schemas.ScoresRequest, request: Request) -> Response:
    """The scores of 1 to 1,000 customers, one entry per customer, in order.

    A customer who is unknown, or to whom a model does not apply, has a reason in place of a score; the others
    get their scores all the same. While a store is unavailable, scores are computed from the customer's last
    known features, or are the models' defaults, and are marked as degraded.
    """
    # Not dependencies: resolving them would take a large part of the response time.
    services = services_of(request.app)
    scorer, metrics = services[Scorer], services[Metrics]
    timing.current().mark("receive")
    models = known_models(scorer, body.models)
    context = check_context(body.context, scorer.champions) if body.context else None
    if body.explain and len(body.customer_ids) > schemas.MAX_EXPLAINED:
        raise Unprocessable(
            f"explain: at most {schemas.MAX_EXPLAINED} customers can be explained in a request"
        )

    few = len(body.customer_ids) <= FEW
    if not (few or body.explain or context):
        customers, counts = await to_thread.run_sync(
            batch.score, scorer, body.customer_ids, models, limiter=_large
        )
        metrics.count(counts)
        return _response(encode(customers))

    def score() -> list[ScoredCustomer]:
        return scorer.score(body.customer_ids, models, allow_fallback=True, context=context)

    scored = score() if few else await to_thread.run_sync(score, limiter=_large)
    metrics.count(count_outcomes(scored))
    customers = [customer_as_response(customer) for customer in scored]
    if not body.explain:
        return _response(encode(customers))
    explainer = services[Explainer]
    explanations = await explainer.run(
        lambda: [explainer.explain(customer, context or ()) for customer in scored]
    )
    explained = [to_builtins(entry) | more for entry, more in zip(customers, explanations, strict=True)]
    return _response(to_json({"customers": explained}, inf_nan_mode="null"))


def _response(content: bytes) -> Response:
    # Not validated by the response model at run time; tests compare the two.
    return Response(content, media_type="application/json")


@router.get(
    "/explanations/{prediction_id}",
    operation_id="explain_prediction",
    dependencies=[audits_look("read an explanation")],
    response_description="The scores, and the features that they were computed from.",
    responses=responses(404, 422, 503),
)
async def explanation(
    prediction_id: Annotated[
        str,
        Path(
            max_length=64, description="As in the response with the scores.", examples=["5c1e0b7a9d3f4e26a1"]
        ),
    ],
    explainer: ExplainerDep,
) -> schemas.ExplainedPrediction:
    """Why a customer got these scores: from the log, by the model versions and the features of that
    moment.
    """
    for _ in range(3):  # the log commits a prediction shortly after the response
        prediction = await explainer.run(lambda: explainer.explain_logged(prediction_id))
        if prediction is not None:
            return prediction
        await asyncio.sleep(FLUSH_SECONDS)
    raise HTTPException(404, "the log has no such prediction")
