"""Scores of customers, and explanations of earlier scores."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response

from serving.access.audit import audits_look
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http.problems import leads_to, responses
from serving.http.services import service, services_of
from serving.scores import schemas
from serving.scores.explainer import Explainer
from serving.scores.handler import scores_as_json

router = APIRouter(prefix="/v1", tags=["scores"], dependencies=[needs(Scope.SCORES)])
ExplainerDep = Annotated[Explainer, service(Explainer)]
READ_AGAIN_SECONDS = 0.25  # between attempts to read a prediction that may not be committed yet


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
    # Only requests that the endpoint in front of FastAPI passes on, such as a body in UTF-16.
    content = await scores_as_json(services_of(request.app), body)
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
        await asyncio.sleep(READ_AGAIN_SECONDS)
    raise HTTPException(404, "the log has no such prediction")
