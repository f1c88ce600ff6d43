"""Routes of a customer's most probable next products and categories."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query

from serving.access.audit import audits_look
from serving.access.authentication import needs
from serving.access.scopes import Scope
from serving.http.encoded_slashes import CustomerRoute
from serving.http.params import CustomerIdPath
from serving.http.problems import responses
from serving.http.services import service
from serving.rankings.schemas import CategoriesQuery, CategoriesResponse, ProductsQuery, ProductsResponse
from serving.rankings.service import CategoryService, ProductService
from serving.rankings.stocked import in_stock

router = APIRouter(prefix="/v1/customers", tags=["customers"], route_class=CustomerRoute)
ProductsDep = Annotated[ProductService, service(ProductService)]
CategoriesDep = Annotated[CategoryService, service(CategoryService)]
_RESPONSES = responses(404, 422, 503)


@router.get(
    "/{customer_id:path}/products",
    operation_id="rank_products",
    response_description="Products, the most probable first.",
    response_model=ProductsResponse,
    response_model_exclude_unset=True,  # the details of a catalogue
    responses=_RESPONSES,
    dependencies=[needs(Scope.CUSTOMERS), audits_look("looked at a customer")],
)
async def products(
    customer_id: CustomerIdPath, query: Annotated[ProductsQuery, Query()], ranker: ProductsDep
) -> dict[str, Any]:
    """The products that a customer is most likely to buy next, each with its reason.

    A customer without orders gets the products that are most popular overall, and a `reason`. There are
    fewer than `limit` if the shop has fewer candidates. If a catalogue was imported, products that are out of
    stock are left out, and each other one has its name, address, picture, price and stock. Events after
    `as_of` count once the ranking is trained again (`patron train products`).
    """
    return await ranker.respond(
        customer_id, query.limit,
        lambda ranking: in_stock(ranker.home, replace(ranking, new_only=query.new_only)),
    )  # fmt: skip


@router.get(
    "/{customer_id:path}/categories",
    operation_id="score_categories",
    response_description="Categories, the most probable first.",
    response_model=CategoriesResponse,
    responses=_RESPONSES,
    dependencies=[needs(Scope.SCORES), audits_look("looked at a customer")],
)
async def categories(
    customer_id: CustomerIdPath, query: Annotated[CategoriesQuery, Query()], ranker: CategoriesDep
) -> dict[str, Any]:
    """The probability of an order from each product category, with the customer's orders from it so far.

    A customer who has not ordered gets a `reason` in place of categories. Events after `as_of` count once the
    model is trained again (`patron train category_propensity`).
    """
    return await ranker.respond(customer_id, query.limit)
