"""What is asked and answered over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MOST_CUSTOMERS = 1000
CustomerId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ScoresRequest(BaseModel):
    """Whose scores, from which models."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"customer_ids": ["C000001", "C000002"], "models": ["churn", "clv"]}]
        },
    )

    customer_ids: list[CustomerId] = Field(
        min_length=1, max_length=MOST_CUSTOMERS, description="Answered one by one, in this order."
    )
    models: list[str] | None = Field(
        None, min_length=1, max_length=20, description="Which models; all by default."
    )


class ModelScore(BaseModel):
    """One model's answer about one customer."""

    score: float | None = Field(
        description="Probability, or money in the shop's currency; null with a reason."
    )
    percentile: float | None = Field(
        None,
        description="Share (0–100) of customers whose score was not above it when the model was trained.",
    )
    version: str | None = Field(None, description="The model version that answered.")
    reason: str | None = Field(None, description="Why there is no score.")


class CustomerScores(BaseModel):
    """All answers about one customer."""

    customer_id: str
    known: bool | None = Field(description="Null while the database that would say so is away.")
    reason: str | None = Field(None, description="Why nothing is known of the customer.")
    features_as_of: datetime | None = Field(None, description="The moment the features describe.")
    fresh: bool = Field(description="Whether the features are no older than their groups may be.")
    stale: list[str] = Field([], description="The groups of features that are older than they may be.")
    degraded: str | None = Field(
        None,
        description="Why the scores rest on what was last known, or are the models' defaults: a store is"
        " away. Null when they rest on what the stores say now.",
    )
    scores: dict[str, ModelScore]


class ScoresResponse(BaseModel):
    """One entry per customer asked for, in order."""

    customers: list[CustomerScores]


class ModelState(BaseModel):
    """A model as the service holds it."""

    name: str
    question: str
    version: str | None = None
    meaning: str | None = Field(None, description="What its score says.")
    unit: str | None = Field(None, description="Of the score: probability, or the shop's currency.")
    horizon_days: int | None = None
    trained_as_of: datetime | None = None
    default_score: float | None = Field(
        None,
        description="What is answered, marked as degraded, of a customer of whom nothing is known while a"
        " store is away: the median score when the model was trained.",
    )
    features: list[str] = []
    reason: str | None = Field(
        None, description="Why no version answers, or not yet the one that was promoted."
    )


class Readiness(BaseModel):
    """Whether scores can be had, and what stands in the way."""

    ready: bool
    reasons: list[str]
    models: dict[str, str] = Field(description="Per model the version that answers, or why none does.")
