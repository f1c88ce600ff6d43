"""Scores on request."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from serving import schemas, stages
from serving.access import needs
from serving.dependencies import MetricsDep, ScorerDep, known_models
from serving.problems import responses
from serving.scopes import Scope

router = APIRouter(prefix="/v1", tags=["scores"], dependencies=[needs(Scope.SCORES)])
FEW = 16  # so many customers are answered sooner than a thread is handed the work


@router.post(
    "/scores",
    operation_id="score_customers",
    response_description="One entry per customer, in the order of the request.",
    responses=responses(400, 422, 503),
)
async def scores(
    asked: schemas.ScoresRequest, scorer: ScorerDep, metrics: MetricsDep
) -> schemas.ScoresResponse:
    """The scores of 1 to 1,000 customers, one entry per customer, in order.

    A customer who is not known, or whom a question does not apply to, has a reason in place of a
    score; the others are answered all the same. While a store is away, scores rest on what was last
    known of a customer, or are the models' defaults, and are marked as degraded.
    """
    stages.current().mark("receive")
    models = known_models(scorer, asked.models)
    if len(asked.customer_ids) <= FEW:
        entries = scorer.score(asked.customer_ids, models, whatever_happens=True)
    else:
        entries = await run_in_threadpool(scorer.score, asked.customer_ids, models, whatever_happens=True)
    metrics.count(entries)
    return schemas.ScoresResponse.model_validate({"customers": entries}, from_attributes=True)
