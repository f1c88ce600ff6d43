"""The shop's monthly key figures and its cohorts, as of the last build."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from features.offline import kpis
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http.problems import responses
from serving.kpis.schemas import CohortsQuery, CohortsResponse, KpisQuery, KpisResponse
from serving.scores.dependencies import ScorerDep

router = APIRouter(prefix="/v1", tags=["kpis"], dependencies=[needs(Scope.SEGMENTS)])
# These routes are no coroutines: they read a file, so each runs in a thread.


@router.get(
    "/kpis",
    operation_id="list_kpis",
    response_description="The last months, in ascending order.",
    responses=responses(422, 503),
)
def monthly_kpis(query: Annotated[KpisQuery, Query()], scorer: ScorerDep) -> KpisResponse:
    """Customers, orders and revenue of each month, as of the last build; the last month may not be over."""
    return KpisResponse.model_validate(kpis.latest(kpis.read(scorer.home, kpis.KPIS), query.months))


@router.get(
    "/cohorts",
    operation_id="list_cohorts",
    response_description="The last cohorts, in ascending order.",
    responses=responses(422, 503),
)
def cohorts(query: Annotated[CohortsQuery, Query()], scorer: ScorerDep) -> CohortsResponse:
    """Retention and revenue of customers by the month of their first order, as of the last build."""
    return CohortsResponse.model_validate(kpis.latest(kpis.read(scorer.home, kpis.COHORTS), query.cohorts))
