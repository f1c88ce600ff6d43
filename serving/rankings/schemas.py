"""What is asked and answered about the products that customers buy next."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

MOST_PRODUCTS = 100


class ProductsQuery(BaseModel):
    """How many products, and which."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(10, ge=1, le=MOST_PRODUCTS, description="At most so many.")
    new_only: bool = Field(False, description="Only products that the customer has not bought before.")


class RankedProduct(BaseModel):
    """A product that a customer may buy next."""

    product_id: str
    score: float = Field(
        description="Probability that the customer's next basket has it. Without a history: the share of the"
        " last 90 days' baskets that have it."
    )
    reason: str = Field(
        description="Why, in words; days are counted to `as_of`.",
        examples=["bought 3 times, last 12 days ago"],
    )


class ProductsResponse(BaseModel):
    """What one customer buys next, the likeliest first."""

    customer_id: str
    version: str = Field(description="The version of `products` that answered.")
    as_of: datetime = Field(description="What was known then is what the answer rests on.")
    reason: str | None = Field(
        description="Why these are the products that are popular with everyone; null where they are the"
        " customer's own."
    )
    products: list[RankedProduct]
