"""Requests and responses of ranked products and categories."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

MAX_ITEMS = 100


class ProductsQuery(BaseModel):
    """How many products, and which."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(10, ge=1, le=MAX_ITEMS, description="The maximum number of products.")
    new_only: bool = Field(False, description="Only products that the customer has not bought before.")


class RankedProduct(BaseModel):
    """A product that a customer may buy next."""

    product_id: str
    score: float = Field(
        description="Probability that the customer's next basket has the product. For a customer without"
        " orders: the share of the last 90 days' baskets that have it."
    )
    reason: str = Field(
        description="The reason as text; days are counted to `as_of`.",
        examples=["bought 3 times, last 12 days ago"],
    )
    name: str | None = Field(None, description="By the imported catalogue, like the fields below.")
    url: str | None = None
    image_url: str | None = None
    price: float | None = None
    stock: float | None = Field(None, description="How many are left; null if the catalogue has no number.")


class ProductsResponse(BaseModel):
    """The products that one customer is most likely to buy next, the most probable first."""

    customer_id: str
    version: str = Field(description="The version of `products` that ranked them.")
    as_of: datetime = Field(description="The ranking is based on the orders known by this moment.")
    reason: str | None = Field(
        description="Why these are the products that are most popular overall; null if they are the"
        " customer's own ranking."
    )
    products: list[RankedProduct]


class CategoriesQuery(BaseModel):
    """How many categories."""

    model_config = ConfigDict(extra="forbid")

    limit: int | None = Field(
        None, ge=1, le=MAX_ITEMS, description="The maximum number of categories; all by default."
    )


class CategoryPropensity(BaseModel):
    """A category that a customer may order from."""

    category: str
    score: float = Field(
        description="Probability of at least one order from the category within `horizon_days` days."
    )
    reason: str = Field(
        description="The customer's orders from the category so far; days are counted to `as_of`.",
        examples=["in 3 of 7 orders, last 12 days ago"],
    )


class CategoriesResponse(BaseModel):
    """The categories that one customer is likely to order from soon, the most probable first."""

    customer_id: str
    version: str = Field(description="The version of `category_propensity` that scored them.")
    as_of: datetime = Field(
        description="The scores are based on the orders known by this moment; days are counted to it."
    )
    horizon_days: int = Field(description="The length of the predicted window, in days.")
    reason: str | None = Field(description="Why there are no categories; null if there are some.")
    categories: list[CategoryPropensity]
