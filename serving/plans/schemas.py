"""What is asked and answered about plans, over HTTP and by the command."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from decisions.reasons import Language
from serving.decisions.budgets.planned import Unreserved
from serving.decisions.schemas import Channels, Currency
from serving.http.params import SegmentFilter, Words

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
    used_before: float = Field(description="By decisions in the same period; the plan has what is left.")
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
    horizon_days: int = Field(description="Within which the change of the net margin counts.")
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
    notes: list[Words] = Field(description="What stands out, such as that all actions are over.")


class NotReserved(BaseModel):
    """Customers of a released plan who do not get what was planned."""

    stage: Unreserved = Field(description="The check that refused it now; or `holdout`, or `merged`.")
    customers: int
    words: Words


class PlanRelease(BaseModel):
    """The release of a plan: a run with the id of the plan, whose file is read as that of every run."""

    plan_id: str
    run_id: str
    status: Literal["running", "done", "failed", "stopped", "interrupted"]
    error: str | None = Field(description="Why it failed.")
    total: int = Field(description="Customers who get an action by the plan.")
    done: int
    reserved: int = Field(description="Customers for whom the planned action is decided and reserved.")
    not_reserved: list[NotReserved]


class PlanQuery(BaseModel):
    """How many customers of a plan are listed."""

    model_config = ConfigDict(extra="forbid")

    rows: int = Field(0, ge=0, le=MAX_ROWS, description="Customers to list, the most valuable first.")


class PlanState(BaseModel):
    """A stored plan."""

    plan_id: str
    status: Literal["running", "done", "failed", "stopped", "interrupted"]
    error: str | None = Field(description="Why it failed; of a plan that cannot be made, which budget.")
    started_at: datetime
    segment: str | list[str] | None
    channels: list[str] | None
    budget: Currency | None
    language: Language
    total: int = Field(description="Customers in the segment.")
    done: int
    plan: PlanReport | None = Field(description="Null until it is done.")
    rows: list[PlanRow]
    release: PlanRelease | None = Field(description="Null if it was not released.")
