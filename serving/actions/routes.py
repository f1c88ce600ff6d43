"""What the company can do for a customer, with who fits now."""

from __future__ import annotations

from fastapi import APIRouter

from decisions.catalogue.listing import listing
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.actions.schemas import Catalogue
from serving.http.problems import responses
from serving.scores.dependencies import ScorerDep

router = APIRouter(prefix="/v1", tags=["decisions"], dependencies=[needs(Scope.DECISIONS)])
# No coroutine: it reads files, so it runs in a thread.


@router.get(
    "/actions",
    operation_id="list_actions",
    response_description="The actions in alphabetical order, and warnings.",
    responses=responses(503),
)
def catalogue(scorer: ScorerDep) -> Catalogue:
    """The actions that are declared, how many customers fit each now, and what looks like a mistake."""
    return Catalogue.model_validate(listing(scorer.home))
