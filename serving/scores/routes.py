"""Scores on request, and later why they were given."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, HTTPException, Path, Request, Response
from pydantic_core import to_json

from records.predictions import FLUSH_SECONDS
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http import timing as stages
from serving.http.fast_route import FastRoute
from serving.http.metrics import Metrics
from serving.http.problems import Unprocessable, leads_to, responses
from serving.http.services import service, services_of
from serving.scores import batch as many
from serving.scores import schemas
from serving.scores.context import checked
from serving.scores.dependencies import known_models
from serving.scores.explainer import Explainer
from serving.scores.scorer import ScoredCustomer, Scorer, count_outcomes

router = APIRouter(prefix="/v1", tags=["scores"], dependencies=[needs(Scope.SCORES)], route_class=FastRoute)
ExplainerDep = Annotated[Explainer, service(Explainer)]
FEW = 16  # so many customers are answered sooner than a thread is handed the work
MAX_LARGE = 2  # requests for more of them that are worked on at once
_large = CapacityLimiter(MAX_LARGE)


@router.post(
    "/scores",
    operation_id="score_customers",
    response_description="One entry per customer, in the order of the request.",
    response_model=schemas.ScoresResponse,
    responses=responses(400, 422, 503)
    | {200: leads_to("explain_prediction", "prediction_id", "Why, also later.", "/customers/0")},
)
async def scores(asked: schemas.ScoresRequest, request: Request) -> Response:
    """The scores of 1 to 1,000 customers, one entry per customer, in order.

    A customer who is not known, or whom a question does not apply to, has a reason in place of a
    score; the others are answered all the same. While a store is away, scores rest on what was last
    known of a customer, or are the models' defaults, and are marked as degraded.
    """
    # Not as dependencies: resolving each one is a part of the answer's time.
    services = services_of(request.app)
    scorer, metrics = services[Scorer], services[Metrics]
    stages.current().mark("receive")
    models = known_models(scorer, asked.models)
    context = checked(asked.context, scorer.champions) if asked.context else None
    if asked.explain and len(asked.customer_ids) > schemas.MAX_EXPLAINED:
        raise Unprocessable(f"explain: ask for {schemas.MAX_EXPLAINED} customers at most, or without it")

    few = len(asked.customer_ids) <= FEW
    if not (few or asked.explain or context):
        told, counts = await to_thread.run_sync(
            many.score, scorer, asked.customer_ids, models, limiter=_large
        )
        metrics.count(counts)
        return _response(told)

    def answer() -> list[ScoredCustomer]:
        return scorer.score(asked.customer_ids, models, allow_fallback=True, context=context)

    entries = answer() if few else await to_thread.run_sync(answer, limiter=_large)
    metrics.count(count_outcomes(entries))
    told = [entry.told for entry in entries]
    if asked.explain:
        explainer = services[Explainer]
        why = await explainer.run(lambda: [explainer.answered(entry, context or ()) for entry in entries])
        told = [plain | more for plain, more in zip(told, why, strict=True)]
    return _response(told)


def _response(told: list[dict[str, Any]]) -> Response:
    # Tests hold this to the model's shape; it is not checked anew each time.
    return Response(to_json({"customers": told}, inf_nan_mode="null"), media_type="application/json")


@router.get(
    "/explanations/{prediction_id}",
    operation_id="explain_prediction",
    response_description="The answer, and what it rested on.",
    responses=responses(404, 422, 503),
)
async def explanation(
    prediction_id: Annotated[
        str, Path(max_length=64, description="As the answer had it.", examples=["5c1e0b7a9d3f4e26a1"])
    ],
    explainer: ExplainerDep,
) -> schemas.ExplainedPrediction:
    """Why an answer was given: from the log, by the versions that gave it and the features of then."""
    for _ in range(3):  # what was answered just now is on its way into the log
        found = await explainer.run(lambda: explainer.logged(prediction_id))
        if found is not None:
            return found
        await asyncio.sleep(FLUSH_SECONDS)
    raise HTTPException(404, "the log has no such prediction")
