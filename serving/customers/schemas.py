"""Requests and responses about customers: portraits and lists."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from decisions.reasons import Language
from models.questions.next_order import HORIZON_DAYS
from serving.customers.timeline_schemas import CursorText, CustomerContact, NextCursor
from serving.scores.schemas import ExplainedScore


class Measures(BaseModel):
    """The numbers that marketers know a customer by, as of ``features_as_of``."""

    known_since: date | None = Field(
        description="The shop's day on which the company first learnt of the customer."
    )
    historic_number_of_orders: int | None = Field(description="Orders placed so far.")
    historic_clv: float | None = Field(description="Net revenue so far: paid less given back.")
    average_order_value: float | None = Field(description="Mean paid per order, before refunds.")
    average_days_between_orders: float | None = Field(
        description="Days from the first order to the latest, per order after the first."
    )
    predicted_clv: float | None = Field(
        description="The clv score: expected net revenue of the next `predicted_clv_horizon_days` days."
    )
    predicted_clv_low: float | None = Field(
        description="What they bring lies above it, and below `predicted_clv_high`, nine times out of ten."
    )
    predicted_clv_high: float | None
    predicted_clv_probability_of_order: float | None = Field(
        description="Probability of any order that is not refunded entirely, within those days."
    )
    predicted_clv_amount_if_order: float | None = Field(
        description="Expected net revenue if there is such an order; times the probability it is"
        " `predicted_clv`."
    )
    predicted_clv_horizon_days: int | None = Field(description="Null where no version of clv answers.")
    total_clv: float | None = Field(description="`historic_clv` and `predicted_clv` together.")
    churn_probability: float | None = Field(
        description="The churn score: probability of no order within `churn_horizon_days` days."
    )
    churn_horizon_days: int | None = Field(description="Null where no version of churn answers.")
    order_probability: float | None = Field(
        description="The propensity score: probability of an order within `order_horizon_days` days."
    )
    order_horizon_days: int | None = Field(description="Null where no version of propensity answers.")
    first_order_probability: float | None = Field(
        description="The leads score of a prospect: probability of a first order within"
        " `first_order_horizon_days` days."
    )
    first_order_horizon_days: int | None = Field(description="Null where no version of leads answers.")
    subscription_churn_probability: float | None = Field(
        description="The subscription_churn score of a subscriber: probability of no active subscription in"
        " `subscription_churn_horizon_days` days."
    )
    subscription_churn_horizon_days: int | None = Field(
        description="Null where no version of subscription_churn answers."
    )
    expected_date_of_next_order: date | None = Field(
        description="Of customers like this one who order within `next_order_horizon_days`, half have done so"
        " by this day. Where that is null, it is the customer's own rhythm: the day of the latest order plus"
        " the median number of days between orders, null before the third order and once that day is past."
        f" Null after {HORIZON_DAYS} days without an order."
    )
    next_order_horizon_days: int | None = Field(
        description="Null where the version of propensity that answers tells no day of the next order."
    )
    missing: dict[str, str] = Field(description="Why, by name, for every value above that is null.")


class Fact(BaseModel):
    """One feature's value."""

    value: bool | int | float | str | None = Field(description="Null where the meaning does not apply.")
    unit: str = Field(description="What one of it is; money in the shop's currency.")
    meaning: str


class Described(BaseModel):
    """Who a customer is."""

    customer_id: str
    reason: str | None = Field(description="Why there are no facts yet.")
    features_as_of: datetime | None = Field(description="The moment the facts describe; null without any.")
    portrait: str = Field(description="The customer in two to five sentences.")
    stage: str | None = Field(description="The stage in the customer's life; null where it is not known.")
    segments: dict[str, str | None] = Field(description="The segments the customer is in, by feature.")
    currency: str = Field(description="Of all money here.")


class Portrait(Measures, Described):
    """All that is known of one customer."""

    scores: dict[str, ExplainedScore]
    bands: dict[str, str] = Field(
        description="Each score in a word, by its percentile: very high from 90 on, high from 70, medium from"
        " 30, low from 10, very low below. In the language of the portrait.",
        examples=[{"churn": "very low", "clv": "high"}],
    )
    facts: dict[str, dict[str, Fact]] | None = Field(description="Every feature, by group.")
    contacts: list[CustomerContact] = Field(
        [], description="The newest contacts by decisions, at most ten, also planned ones."
    )


class PortraitQuery(BaseModel):
    """In which language the portrait is told."""

    model_config = ConfigDict(extra="forbid")

    language: Language = "en"


class ListedCustomer(BaseModel):
    """One customer of a list."""

    customer_id: str
    segments: dict[str, str | None] = Field(description="The segments the customer is in, by feature.")
    value: float | None = Field(None, description="The score, or product of scores, by which it is sorted.")


class CustomersResponse(BaseModel):
    """A page of customers, in the order in which they became known, or sorted by a score."""

    features_as_of: datetime = Field(description="The moment the segments describe.")
    scores_as_of: datetime | None = Field(None, description="When the scores of a sorted list were computed.")
    total: int = Field(description="How many customers there are, on all pages.")
    customers: list[ListedCustomer]
    next_cursor: NextCursor


class CustomersQuery(BaseModel):
    """Which page of which customers."""

    model_config = ConfigDict(extra="forbid")

    segment: list[str] = Field(
        [], max_length=20, examples=[["country:DE"]],
        description="`FEATURE:VALUE` of a text feature; of several, all must apply.",
    )  # fmt: skip
    sort: str | None = Field(
        None, max_length=200,
        description="A score such as `clv`, or a product such as `churn*clv`, which is `revenue_at_risk`;"
        " with `-` the highest first. By the newest score job of all customers; those without such a score"
        " are left out. Needs the scope `scores`, too.",
    )  # fmt: skip
    limit: int = Field(100, ge=1, le=1000, description="Customers of a JSON page.")
    format: Literal["json", "ndjson", "csv", "xlsx", "parquet"] = Field(
        "json", description="A file has all customers of a sorted list from the cursor on."
    )
    cursor: CursorText = None
