"""What is told of segments over HTTP."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field


class Difference(BaseModel):
    """A feature by which members differ from all other customers."""

    feature: str
    unit: str
    median: float = Field(description="Among members.")
    median_of_others: float
    chance: float = Field(
        description="That a member has more of it than another customer; 0.5 is no difference."
    )
    words: str


class PredictedTotal(BaseModel):
    """The total of a prediction over customers."""

    customers: int = Field(description="Those who have a score.")
    expected: float
    low: float | None = Field(
        description="`low` to `high` contains the actual total nine times in ten, whether customers act"
        " otherwise than expected or the models are wrong about all of them alike. Null if the model has no"
        " intervals."
    )
    high: float | None


class PredictedTotals(BaseModel):
    """The totals that the models predict; null if there is none, and `totals` says why."""

    predicted_revenue: PredictedTotal | None = Field(
        None, description="In currency: the sum of clv over its customers."
    )
    revenue_at_risk: PredictedTotal | None = Field(
        None, description="In currency: the sum of churn times clv, of the customers who have both."
    )
    expected_churners: PredictedTotal | None = Field(
        None, description="In customers: the sum of churn; `low` and `high` are whole."
    )
    expected_buyers: PredictedTotal | None = Field(
        None, description="In customers: the sum of propensity; `low` and `high` are whole."
    )


class ScoredBy(BaseModel):
    """The version that scored."""

    version: str
    horizon_days: int


class TotalState(BaseModel):
    """What a predicted total means, and what it was computed from."""

    unit: str = Field(description="`customers`, or the shop's currency.")
    meaning: str | None
    models: dict[str, ScoredBy]
    scored_at: datetime | None = Field(description="When the score job of all customers began.")
    segments_as_of: datetime | None = Field(
        description="Customers count in the segments that they were in then."
    )
    stale: str | None = Field(description="Why it should be computed again; null if it should not.")
    reason: str | None = Field(description="Why there is none, and what to run.")


class SegmentState(PredictedTotals):
    """One segment."""

    name: str
    filter: str = Field(description="What other routes take as `segment`.", examples=["value_tier:A"])
    english: str
    chinese: str
    meaning: str = Field(description="Who is in it.")
    customers: int
    share_of_customers: float
    net_spend_365d: float = Field(description="Paid less refunded in the last 365 days, in currency.")
    share_of_net_spend_365d: float | None
    net_spend_365d_per_customer: float
    newsletter_share: float | None = Field(
        description="Of those who ever said, who take the newsletter: whom the company can reach by it."
    )
    customers_before: int | None = Field(description="Members at `compared_with`.")
    differs_by: list[Difference] = Field(description="Up to three features, the strongest difference first.")


class Kind(BaseModel):
    """One way of dividing customers; nobody is in two of its segments."""

    name: str
    meaning: str
    customers_in_none: int
    segments: list[SegmentState]


class Moves(BaseModel):
    """Moves between lifecycle stages from one month to the next, by stage before and stage after."""

    from_: datetime = Field(alias="from")
    to: datetime
    months: int = Field(description="How many pairs of months were counted.")
    customers: dict[str, dict[str, int]]
    rates: dict[str, dict[str, float]] = Field(description="Shares of those in the stage before.")


class GridCell(BaseModel):
    """A cell of the grid of RFM segments."""

    recency: int = Field(description="1 to 5; 5 ordered last.")
    worth: int = Field(description="1 to 5, by the number of orders and what they brought; 5 is the most.")
    segment: str = Field(description="The RFM segment of its customers.")
    customers: int
    net_spend_365d: float = Field(description="Paid less refunded in the last 365 days, in currency.")


class Overview(PredictedTotals):
    """All segments as of a moment. The predicted totals at this level are those of the whole shop."""

    as_of: datetime
    compared_with: datetime | None = Field(description="The first of a month four weeks before or more.")
    currency: str
    customers: int
    totals: dict[str, TotalState] = Field(description="By the name of each predicted total.")
    kinds: list[Kind]
    moves: Moves | None = Field(description="Null until two months are stored: run `patron build`.")
    rfm_grid: list[GridCell] | None = Field(
        None, description="The cells that have customers; null until the next `patron build`."
    )
