"""The response with results."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.http.params import Words

MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"
Unclear = Literal["few_customers", "few_buyers", "early", "sample_ratio"]


class ResultsQuery(BaseModel):
    """Which part of the report."""

    model_config = ConfigDict(extra="forbid")

    month: str | None = Field(None, pattern=MONTH, description="Only this month, such as 2026-03.")
    by: Literal["value_tier", "rfm_segment", "lifecycle_stage"] | None = Field(
        None, description="Only the segments of this feature."
    )


class Interval(BaseModel):
    """A difference of two means; `low` to `high` contains the truth in 95 of 100 such reports."""

    estimate: float
    low: float
    high: float
    standard_error: float
    degrees: float = Field(description="Of freedom of Student's t.")
    p: float = Field(description="Probability of such a difference, or a larger one, if there is none.")
    treated_mean: float
    control_mean: float
    variance_removed: float = Field(description="The share that last year's net margin explains.")


class Programme(BaseModel):
    """Treated customers against the holdout; money is in the shop's currency."""

    treated: int = Field(description="Customers who were not in the holdout, whether or not contacted.")
    holdout: int = Field(description="Customers in the holdout.")
    orders: Interval | None = Field(description="Orders per customer.")
    net_margin: Interval | None = Field(
        description="Net margin per customer, after refunds, discounts and the cost of contacts."
    )
    incremental_orders: float | None = Field(description="Of all treated customers together.")
    incremental_margin: float | None = Field(description="Of all treated customers together.")
    contacts: int
    contact_cost: float
    discounts: float = Field(description="Given on orders that followed a contact.")
    return_on_cost: float | None = Field(description="`incremental_margin` per unit of both costs.")
    unclear: list[Unclear] = Field(description="Why it cannot be told yet; empty if it can.")
    words: Words


class MonthResults(Programme):
    """A calendar month of the shop."""

    month: str = Field(examples=["2026-03"])
    complete: bool = Field(description="False for the month that is not over.")


class SegmentResult(Programme):
    """Customers of a segment, as their first decision found them."""

    feature: str
    value: str


class ActionResult(BaseModel):
    """An action against doing nothing, per decision, by the random choices."""

    action: str
    chosen: int = Field(description="Decisions that chose it.")
    nothing: int = Field(description="Decisions that chose nothing where it was permitted.")
    effective_chosen: float = Field(description="Effective sample size of `chosen`.")
    effective_nothing: float = Field(description="Effective sample size of `nothing`.")
    contacts: int = Field(description="That were exported, sent or shown.")
    contact_cost: float
    conversions: int = Field(description="Orders that followed a contact within `conversion_days`.")
    converted_net: float = Field(description="Paid for those, less refunds.")
    discounts: float = Field(description="Given on those.")
    net_margin: Interval | None
    orders: Interval | None
    words: Words


class HoldoutState(BaseModel):
    """The groups that are compared."""

    share: float
    rotation: int = Field(description="The number of the draw, from 1.")
    since: datetime
    first_enrolment: datetime
    treated: int
    holdout: int
    moved: int = Field(description="Customers who moved when the share changed; they are not compared.")
    sample_ratio_p: float = Field(description="Below 0.001, the sizes are not those of a random draw.")


class Conversions(BaseModel):
    """Orders that followed a contact within `conversion_days`."""

    count: int
    changed: int = Field(description="Added, changed or removed by this report.")


class OutcomesFromEvents(BaseModel):
    """Events with a `decision_id` among their properties."""

    recorded: int = Field(description="Outcomes that this report recorded.")
    repeated: int
    unknown_decision: int
    other_customer: int = Field(description="Events of another customer than the decision's.")


class ResultsResponse(BaseModel):
    """The report of results."""

    as_of: datetime
    currency: str
    time_zone: str
    conversion_days: int
    conversions: Conversions
    outcomes_from_events: OutcomesFromEvents
    holdout: HoldoutState | None = Field(
        description="Null if none is declared, or nobody had a decision since it was drawn."
    )
    programme: Programme | None
    months: list[MonthResults]
    segments: list[SegmentResult]
    actions: list[ActionResult]
    words: Words
