"""What is asked and answered over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from serving.http.params import CustomerId

MAX_CUSTOMERS = 1000
MAX_EXPLAINED = 20
MAX_FACTS = 50
FeatureValue: TypeAlias = bool | int | float | str | None


class ScoresRequest(BaseModel):
    """Whose scores, from which models."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"customer_ids": ["C000001", "C000002"], "models": ["churn", "clv"]},
                {"customer_ids": ["C000001"], "explain": True, "context": {"recency_days": 0}},
            ]
        },
    )

    customer_ids: list[CustomerId] = Field(
        min_length=1, max_length=MAX_CUSTOMERS, description="Answered one by one, in this order."
    )
    models: list[str] | None = Field(
        None, min_length=1, max_length=20, description="Which models; all by default."
    )
    explain: StrictBool = Field(False, description=f"Also say why, for {MAX_EXPLAINED} customers at most.")
    context: dict[str, FeatureValue] | None = Field(
        None,
        max_length=MAX_FACTS,
        description="Features as the application knows them just now, by name: they take the place of the"
        " store's for every customer of this request, and are logged with the answers.",
    )


class ModelScore(BaseModel):
    """One model's answer about one customer."""

    score: float | None = Field(
        description="Probability, or money in the shop's currency; null with a reason."
    )
    low: float | None = Field(
        None,
        description="Of money: what the customer brings lies between `low` and `high` nine times out of ten.",
    )
    high: float | None = Field(None, description="See `low`; both are null of a probability.")
    percentile: float | None = Field(
        None,
        description="Share (0–100) of customers whose score was not above it when the model was trained.",
    )
    version: str | None = Field(None, description="The model version that answered.")
    reason: str | None = Field(None, description="Why there is no score.")


class Reason(BaseModel):
    """What one feature's value did to a score."""

    feature: str
    value: FeatureValue
    contribution: float = Field(description="Added to the score, in its unit; below 0 it was taken away.")
    raw_contribution: float = Field(description="Added to the raw score of the trees.")
    words: str = Field(examples=["The latest order 84 days ago: +12 points"])


class ExplainedScore(ModelScore):
    """A model's answer, and what it rests on: `base`, all contributions and `rest` add up to `score`.

    Likewise `bias`, all raw contributions and `raw_rest` add up to `raw_score`.
    """

    base: float | None = Field(None, description="The score before any feature is looked at.")
    reasons: list[Reason] = Field([], description="The largest contributions either way, largest first.")
    rest: float | None = Field(None, description="What all other features contributed together.")
    bias: float | None = Field(None, description="The raw score before any feature is looked at.")
    raw_score: float | None = Field(
        None, description="What the trees say, before it is made a probability or money."
    )
    raw_rest: float | None = Field(None, description="What all other features added to the raw score.")


class Basis(BaseModel):
    """A feature as a score rests on it."""

    value: FeatureValue
    as_of: datetime | None = Field(description="The moment it describes; null where the request brought it.")
    from_request: bool = Field(description="Whether it came with the request, and not from the store.")


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
    prediction_id: str | None = Field(
        None, description="Asks for the explanation later; null where the scores rest on no features."
    )
    scores: dict[str, ExplainedScore | ModelScore]
    features: dict[str, Basis] | None = Field(
        None, description="What the models read, where an explanation was asked for."
    )


class ExplainedPrediction(BaseModel):
    """An answer that was given before, and what it rested on then."""

    prediction_id: str
    customer_id: str | None = Field(description="Null where the customer was forgotten since.")
    answered_at: datetime
    features_as_of: datetime | None
    scores: dict[str, ExplainedScore]
    features: dict[str, Basis]


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
    challenger: str | None = Field(
        None, description="The version that is scored beside the one that answers, and for whom it answers."
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
