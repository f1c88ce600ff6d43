"""Requests and responses of scores and explanations."""

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
    """The customers to score, and the models."""

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
        min_length=1,
        max_length=MAX_CUSTOMERS,
        description="The response has an entry for each, in this order.",
    )
    models: list[str] | None = Field(
        None, min_length=1, max_length=20, description="The models; all by default."
    )
    explain: StrictBool = Field(
        False, description=f"Explain the scores, of at most {MAX_EXPLAINED} customers."
    )
    context: dict[str, FeatureValue] | None = Field(
        None,
        max_length=MAX_FACTS,
        description="Current features that the application knows, by name: they replace the store's for every"
        " customer of this request, and are logged with the scores.",
    )


class ModelScore(BaseModel):
    """One model's score of one customer."""

    score: float | None = Field(
        description="Probability, or money in the shop's currency; null with a reason."
    )
    low: float | None = Field(
        None,
        description="For money: the outcome lies between `low` and `high` nine times out of ten.",
    )
    high: float | None = Field(None, description="See `low`; both are null for a probability.")
    probability_of_order: float | None = Field(
        None,
        description="For clv: probability of any order that is not refunded entirely. Null for a probability,"
        " and for a version without it.",
    )
    amount_if_order: float | None = Field(
        None,
        description="For clv: expected net revenue if there is such an order; times `probability_of_order` it"
        " is `score`.",
    )
    percentile: float | None = Field(
        None,
        description="Share (0–100) of customers with at most this score when the model was trained.",
    )
    version: str | None = Field(None, description="The model version that computed the score.")
    reason: str | None = Field(None, description="Why there is no score.")


class Reason(BaseModel):
    """The contribution of one fact about a customer to a score."""

    feature: str = Field(
        description="Of the features that state the fact, the one with the largest contribution."
    )
    value: FeatureValue
    contribution: float = Field(description="Contribution to the score, in its unit; may be negative.")
    raw_contribution: float = Field(description="Contribution to the raw score.")
    words: str = Field(examples=["The latest order 84 days ago: +12 points"])
    others: list[str] = Field(
        [], description="Other features that state the same fact; their contributions are included."
    )


class ExplainedScore(ModelScore):
    """A score with its explanation: `base`, all contributions and `rest` add up to `score`.

    Likewise `bias`, all raw contributions and `raw_rest` add up to `raw_score`.
    """

    base: float | None = Field(None, description="The score without any feature.")
    reasons: list[Reason] = Field([], description="The largest contributions by absolute value, in order.")
    rest: float | None = Field(None, description="The sum of all other contributions.")
    bias: float | None = Field(None, description="The raw score without any feature.")
    raw_score: float | None = Field(
        None, description="The score before it is converted to a probability or to money."
    )
    raw_rest: float | None = Field(None, description="The sum of all other raw contributions.")
    rank: str | None = Field(
        None,
        description="`percentile` in words.",
        examples=["higher than for 9 of 10 customers"],
    )
    summary: list[str] = Field(
        [],
        description="The sum in words: base, reasons, everything else, score. The shown numbers add up.",
    )


class Basis(BaseModel):
    """A feature that a score was computed from."""

    value: FeatureValue
    as_of: datetime | None = Field(description="The moment it describes; null if it was sent in the request.")
    from_request: bool = Field(description="Whether it was sent in the request and not read from the store.")


class CustomerScores(BaseModel):
    """All scores of one customer."""

    customer_id: str
    known: bool | None = Field(description="Null while the database of customers is unavailable.")
    reason: str | None = Field(None, description="Why nothing is known of the customer.")
    features_as_of: datetime | None = Field(None, description="The moment the features describe.")
    fresh: bool = Field(
        description="Whether no feature is older than its group's limit, and the refresher keeps up with the"
        " events."
    )
    stale: list[str] = Field([], description="The groups of features that are older than their limit.")
    degraded: str | None = Field(
        None,
        description="Why the scores are computed from the last known features, or are the models' defaults: a"
        " store is unavailable. Null if they are computed from the stores' current features.",
    )
    prediction_id: str | None = Field(
        None, description="The id for a later explanation; null if the scores use no features."
    )
    scores: dict[str, ExplainedScore | ModelScore]
    features: dict[str, Basis] | None = Field(
        None, description="The features that the models read, if an explanation was requested."
    )


class ExplainedPrediction(BaseModel):
    """Earlier scores, and the features that they were computed from."""

    prediction_id: str
    customer_id: str | None = Field(description="Null if the customer was deleted since.")
    answered_at: datetime
    features_as_of: datetime | None
    scores: dict[str, ExplainedScore]
    features: dict[str, Basis]


class ScoresResponse(BaseModel):
    """One entry per requested customer, in order."""

    customers: list[CustomerScores]


class ModelState(BaseModel):
    """The state of a model in the service."""

    name: str
    question: str
    version: str | None = None
    meaning: str | None = Field(None, description="The meaning of its score.")
    unit: str | None = Field(None, description="Of the score: probability, or the shop's currency.")
    horizon_days: int | None = None
    trained_as_of: datetime | None = None
    default_score: float | None = Field(
        None,
        description="The score, marked as degraded, of a customer of whom nothing is known while a store is"
        " unavailable: the median score when the model was trained.",
    )
    challenger: str | None = Field(
        None,
        description="The version scored in shadow of the champion, and the share of customers it serves.",
    )
    features: list[str] = []
    reason: str | None = Field(
        None, description="Why there is no champion, or why the promoted version is not in use yet."
    )


class Readiness(BaseModel):
    """Whether the service is ready for a purpose, and if not, why."""

    ready: bool
    reasons: list[str]
    warnings: list[str] = Field([], description="What operators should look at; scores are available.")
    models: dict[str, str] = Field(description="For each model its version in use, or why there is none.")
