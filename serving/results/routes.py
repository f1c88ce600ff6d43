"""Whether the decisions paid, as of the last report."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from core.errors import NothingThere
from decisions.results import report
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http.problems import responses
from serving.results.schemas import ResultsQuery, ResultsResponse
from serving.scores.dependencies import ScorerDep

router = APIRouter(prefix="/v1", tags=["results"], dependencies=[needs(Scope.SEGMENTS)])


@router.get(
    "/results",
    operation_id="read_results",
    response_description="The report, which each build and `patron results` compute.",
    responses=responses(404, 422, 503),
)
def results(query: Annotated[ResultsQuery, Query()], scorer: ScorerDep) -> ResultsResponse:
    """What the actions brought: treated customers against the holdout, and each action against nothing.

    Where `unclear` is not empty, there is no estimate yet; `words` says why.
    """
    try:
        return ResultsResponse.model_validate(report.select(report.read(scorer.home), query.month, query.by))
    except NothingThere as error:
        raise HTTPException(404, str(error)) from error
