"""The segments of the shop: how large, what they bring, what sets them apart."""

from __future__ import annotations

from fastapi import APIRouter

from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http.problems import responses
from serving.scores.dependencies import ScorerDep
from serving.segments.schemas import Overview
from serving.totals.overview import overview

router = APIRouter(prefix="/v1", tags=["segments"], dependencies=[needs(Scope.SEGMENTS)])


@router.get(
    "/segments",
    operation_id="list_segments",
    response_description="All segments, by the kind of thing that they divide customers by.",
    responses=responses(503),
)
def list_segments(scorer: ScorerDep) -> Overview:
    """Every segment as of the last build, with its size, value, change and what sets it apart.

    ``filter`` is what other routes take as ``segment``. Each segment and the shop have the totals that the
    models predict, from the last score job of all customers; ``totals`` says what they mean.
    """
    return Overview.model_validate(overview(scorer.home, scorer.champions.named))
