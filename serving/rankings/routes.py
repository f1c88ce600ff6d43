"""What a customer buys next."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http.params import CustomerIdPath
from serving.http.problems import responses
from serving.http.services import service
from serving.rankings.products import Products, ranked
from serving.rankings.schemas import ProductsQuery, ProductsResponse
from serving.scores.dependencies import ScorerDep
from serving.scores.scorer import UNKNOWN

router = APIRouter(prefix="/v1/customers", tags=["customers"], dependencies=[needs(Scope.CUSTOMERS)])
ProductsDep = Annotated[Products, service(Products)]


@router.get(
    "/{customer_id:path}/products",
    operation_id="rank_products",
    response_description="Products, the likeliest first.",
    response_model=ProductsResponse,
    responses=responses(404, 422, 503),
)
async def products(
    customer_id: CustomerIdPath,
    asked: Annotated[ProductsQuery, Query()],
    scorer: ScorerDep,
    products: ProductsDep,
) -> dict[str, Any]:
    """The products that a customer is likeliest to buy next, each with its reason.

    Of a customer without orders it says what is popular, and `reason` tells that. There are fewer than
    `limit` where the shop has fewer that may be meant. What happens after `as_of` counts once the ranking is
    trained anew (`patron train products`).
    """

    def answer() -> dict[str, Any]:
        key = scorer.identity.keys([customer_id]).get(customer_id)
        if key is None:
            raise HTTPException(404, UNKNOWN)
        return ranked(products.now(), key, customer_id, asked.limit, asked.new_only)

    return await products.run(answer)
