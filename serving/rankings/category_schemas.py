"""What is asked and answered about the categories that customers order of soon."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class CategoriesQuery(BaseModel):
    """How many categories."""

    model_config = ConfigDict(extra="forbid")

    limit: int | None = Field(None, ge=1, le=100, description="At most so many; all by default.")


class CategoryPropensity(BaseModel):
    """A category that a customer may order of."""

    category: str
    score: float = Field(
        description="Probability of at least one order with something of it within `horizon_days` days."
    )
    reason: str = Field(
        description="What the customer ordered of it so far; days are counted to `as_of`.",
        examples=["in 3 of 7 orders, last 12 days ago"],
    )


class CategoriesResponse(BaseModel):
    """Of which categories one customer orders soon, the likeliest first."""

    customer_id: str
    version: str = Field(description="The version of `category_propensity` that answered.")
    as_of: datetime = Field(
        description="What was known then is what the answer rests on, and the days are counted from."
    )
    horizon_days: int = Field(description="How far ahead the probabilities look, in days.")
    reason: str | None = Field(description="Why there are no categories; null where there are.")
    categories: list[CategoryPropensity]
