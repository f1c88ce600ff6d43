"""The saved audiences: size, value and reach."""

from __future__ import annotations

from fastapi import APIRouter

from decisions.catalogue.listing import listing
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.audiences.schemas import AudienceList
from serving.http.problems import responses
from serving.scores.dependencies import ScorerDep

router = APIRouter(prefix="/v1", tags=["segments"], dependencies=[needs(Scope.SEGMENTS)])
# No coroutine: it reads files, so it runs in a thread.


@router.get(
    "/audiences",
    operation_id="list_audiences",
    response_description="The audiences in the order of the file.",
    responses=responses(503),
)
def audiences(scorer: ScorerDep) -> AudienceList:
    """The named rules of `actions.toml`, each with its size, its value and whom each channel reaches.

    Others use one as `in audience NAME`, also as the `rule` of a run.
    """
    return AudienceList.model_validate(listing(scorer.home))
