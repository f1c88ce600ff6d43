"""Health, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

from core.errors import PatronError
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http.metrics import MetricsDep
from serving.scores.dependencies import ScorerDep
from serving.scores.schemas import Readiness

router = APIRouter(tags=["operations"])


@router.get("/healthz", operation_id="is_alive", response_description="The process answers.")
async def healthz() -> dict[str, str]:
    """The process answers; asks nothing of anything else."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    operation_id="is_ready",
    response_description="Scores can be had.",
    responses={503: {"model": Readiness, "description": "Scores cannot be had."}},
)
async def readyz(scorer: ScorerDep, response: Response) -> Readiness:
    """Scores can be had: the stores can be read, and at least one model has a champion."""
    reasons = []
    try:
        await run_in_threadpool(scorer.probe)
    except PatronError as error:
        reasons.append(str(error))
    champions = scorer.champions
    if not champions.models:
        reasons.append("no model has a champion")
    response.status_code = 503 if reasons else 200
    answering = {name: f"version {model.version}" for name, model in champions.models.items()}
    return Readiness(ready=not reasons, reasons=reasons, models=answering | dict(champions.unavailable))


@router.get(
    "/metrics",
    operation_id="read_metrics",
    response_class=Response,
    response_description="All series.",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=[needs(Scope.OPERATIONS)],
)
async def metrics(metrics: MetricsDep) -> Response:
    """Counters and histograms in Prometheus' text format."""
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)
