"""Of which categories a customer orders soon."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http.params import CustomerIdPath
from serving.http.problems import responses
from serving.http.services import service
from serving.rankings.categories import Categories, propensities
from serving.rankings.category_schemas import CategoriesQuery, CategoriesResponse
from serving.scores.dependencies import ScorerDep
from serving.scores.scorer import UNKNOWN

router = APIRouter(prefix="/v1/customers", tags=["customers"], dependencies=[needs(Scope.SCORES)])
CategoriesDep = Annotated[Categories, service(Categories)]


@router.get(
    "/{customer_id:path}/categories",
    operation_id="score_categories",
    response_description="Categories, the likeliest first.",
    response_model=CategoriesResponse,
    responses=responses(404, 422, 503),
)
async def categories(
    customer_id: CustomerIdPath,
    asked: Annotated[CategoriesQuery, Query()],
    scorer: ScorerDep,
    categories: CategoriesDep,
) -> dict[str, Any]:
    """The probability of an order of each product category, with what the customer ordered of it so far.

    A customer who has not ordered has a `reason` in place of categories. What happens after `as_of` counts
    once the model is trained anew (`patron train category_propensity`).
    """

    def answer() -> dict[str, Any]:
        key = scorer.identity.keys([customer_id]).get(customer_id)
        if key is None:
            raise HTTPException(404, UNKNOWN)
        return propensities(categories.now(), key, customer_id, asked.limit)

    return await categories.run(answer)
