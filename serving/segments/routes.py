"""The segments of the shop: how large, what they bring, what sets them apart."""

from __future__ import annotations

from fastapi import APIRouter

from features.offline import segment_overview
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http.problems import responses
from serving.scores.dependencies import ScorerDep
from serving.segments.schemas import Overview

router = APIRouter(prefix="/v1", tags=["segments"], dependencies=[needs(Scope.SEGMENTS)])


@router.get(
    "/segments",
    operation_id="list_segments",
    response_description="All segments, by the kind of thing that they divide customers by.",
    responses=responses(503),
)
def overview(scorer: ScorerDep) -> Overview:
    """Every segment as of the last build, with its size, value, change and what sets it apart.

    ``filter`` is what other routes take as ``segment``.
    """
    return Overview.model_validate(segment_overview.read(scorer.home))
