"""What is asked and answered about plans, over HTTP and by the command."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from decisions.reasons import Language
from serving.decisions.schemas import Channels, Currency
from serving.http.params import SegmentFilter

MAX_ROWS = 1000


class PlanRequest(BaseModel):
    """For whom to plan, and with how much money."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"budget": 500, "segment": "value_tier:A", "language": "en"}]},
    )

    budget: FiniteFloat | None = Field(
        None, gt=0, le=1e12, description="Money for all actions, in addition to the budgets in actions.toml."
    )
    segment: SegmentFilter = None
    channels: Channels = None
    language: Language = "en"
    rows: int = Field(
        0, ge=0, le=MAX_ROWS, description="How many customers to list, the most valuable first."
    )


class PlanAction(BaseModel):
    """What an action gets in a plan."""

    action: str
    text: str
    channel: str
    customers: int
    value: Currency = Field(description="The expected change of the net margin, costs deducted.")
    expense: Currency = Field(description="Expected: contacts, acceptances and discounts.")


class PlanBudget(BaseModel):
    """How far a budget or a capacity is used."""

    name: str
    kind: Literal["money", "contacts", "at_least"]
    limit: float
    used: float
    binding: bool = Field(description="Whether another limit would change the plan.")
    price: Currency = Field(
        description="What one more unit of the limit would bring: one unit of currency, or one contact; of"
        " a minimum, one customer fewer."
    )


class PlanRow(BaseModel):
    """A customer's planned action."""

    customer_id: str
    action: str
    action_text: str
    channel: str
    expected_value: Currency
    expense: Currency


class PlanReport(BaseModel):
    """A plan: a preview that uses nothing up."""

    planned_at: datetime
    customers: int = Field(description="Customers in the segment.")
    contacts: int = Field(description="Customers who get an action.")
    value: Currency = Field(description="The expected change of the net margin, costs deducted.")
    expense: Currency = Field(description="Expected: contacts, acceptances and discounts.")
    gap: float = Field(description="The share of the relaxed optimum that the plan may miss.")
    effect: Literal["assumed"] = Field(
        "assumed", description="Values rest on the effects that actions are declared to have."
    )
    actions: list[PlanAction]
    budgets: list[PlanBudget]
    rows: list[PlanRow]
