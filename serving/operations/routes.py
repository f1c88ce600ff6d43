"""Health, readiness and metrics."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST

from core.errors import PatronError
from events import warehouse
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http.metrics import MetricsDep
from serving.http.own_threads import run_in_own_thread
from serving.http.problems import responses
from serving.scores.dependencies import ScorerDep
from serving.scores.schemas import Readiness

router = APIRouter(tags=["operations"])


@router.get("/healthz", operation_id="is_alive", response_description="The process answers.")
async def healthz() -> dict[str, str]:
    """The process answers; asks nothing of anything else."""
    return {"status": "alive"}


class Purpose(StrEnum):
    """What a caller of ``/readyz`` wants to send."""

    EVENTS = "events"
    SCORES = "scores"


@router.get(
    "/readyz",
    operation_id="is_ready",
    response_description="The service is ready.",
    responses={503: {"model": Readiness, "description": "It is not; the reasons say why."}, **responses(422)},
)
async def readyz(
    scorer: ScorerDep,
    response: Response,
    purpose: Annotated[
        Purpose, Query(alias="for", description="Whether events or requests for scores are to be sent.")
    ] = Purpose.SCORES,
) -> Readiness:
    """Whether the service is ready for events, or for scores, which is the default.

    Events need the database, a clock that runs, and a lake of Patron's own. Scores need the stores, and at
    least one model with a champion. A refresher that does not keep up is a warning.
    """
    reasons, champions = [], scorer.champions
    try:
        await run_in_own_thread(scorer.probe_database if purpose is Purpose.EVENTS else scorer.probe)
    except PatronError as error:
        reasons.append(str(error))
    if purpose is Purpose.EVENTS and not scorer.shop.live:
        reasons.append("the clock of this shop stands; it takes no events")
    if purpose is Purpose.EVENTS and scorer.shop.source == warehouse.SOURCE:
        reasons.append("the events of this shop are in its warehouse; it takes no others")
    if purpose is Purpose.SCORES and not champions.models:
        reasons.append("no model has a champion")
    response.status_code = 503 if reasons else 200
    answering = {name: f"version {model.version}" for name, model in champions.models.items()}
    stale = scorer.freshness.reason
    return Readiness(
        ready=not reasons,
        reasons=reasons,
        warnings=[stale] if stale else [],
        models=answering | dict(champions.unavailable),
    )


@router.get(
    "/metrics",
    operation_id="read_metrics",
    response_class=Response,
    response_description="All series.",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=[needs(Scope.OPERATIONS)],
)
async def metrics(metrics: MetricsDep) -> Response:
    """Counters, gauges and histograms of all workers in Prometheus' text format."""
    return Response(await run_in_own_thread(metrics.text), media_type=CONTENT_TYPE_LATEST)
