"""What is asked and answered about decisions, over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from decisions.checks import Stage
from decisions.reasons import Language
from serving.decisions.offer_schemas import CustomerOfferFields
from serving.http.params import SegmentFilter

MAX_ROWS = 1000
Channels = Annotated[
    list[str] | None,
    Field(min_length=1, max_length=50, description="Only actions of these channels; all by default."),
]
Currency = Annotated[float, Field(description="In the shop's currency.")]


class DecisionOptions(BaseModel):
    """Through which channels, and in which language texts and reasons are told."""

    channels: Channels = None
    language: Language = "en"


class ActionsRequest(DecisionOptions):
    """Through which channels, and in which language texts and reasons are told."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"channels": ["email"], "language": "en"}]}
    )

    preview: bool = Field(
        False, strict=True, description="Write nothing: the decision has no id and reserves no contact."
    )


class Factors(BaseModel):
    """What the value of an action consists of: margin − discounts − contact cost − acceptance cost."""

    margin: Currency = Field(description="The change of the margin by the effect, before discounts.")
    discounts: Currency = Field(description="Expected, also on orders that would have come anyway.")
    contact_cost: Currency
    acceptance_cost: Currency
    lever: float = Field(description="The company's own priority; multiplies a positive value.")
    budget_price: Currency = Field(0.0, description="What its budgets would bring elsewhere, by the plan.")
    priority: Currency = Field(description="What options are ranked by.")


class Offer(BaseModel):
    """An action as it stands for one customer."""

    action: str = Field(description="Its name, or nothing.")
    text: str
    channel: str | None
    expected_value: Currency
    cost: Currency
    effect: Literal["assumed"] = Field(
        "assumed", description="The value rests on the effect that the action is declared to have."
    )
    probability: float = Field(description="With which it was to be chosen, before any draw.")
    factors: Factors | None = Field(
        None, description="Null for doing nothing, and in decisions of earlier versions."
    )


class Chosen(Offer):
    """The action to take."""

    how: Literal["best", "explored", "planned", "holdout", "control"] = Field(
        description="`planned`: by a released plan; `holdout`: left alone, so that the effect is measured;"
        " `control`: likewise, for a month, in earlier releases."
    )


class RunnerUp(Offer):
    """A permitted action that was not chosen."""

    why: str = Field(description="Why it was not chosen.")


class NotOffered(BaseModel):
    """An action that was not permitted for the customer."""

    action: str
    why: str
    stage: Stage | None = Field(
        None, description="The stage of the funnel that it did not reach; null in older decisions."
    )


class ScoreUsed(BaseModel):
    """A score that the decision rests on."""

    score: float | None
    version: str | None
    reason: str | None = Field(None, description="Why there is no score.")


class NextBestActions(BaseModel):
    """A decision about one customer, and why it is that one."""

    decision_id: str | None = Field(description="Null for a preview of a decision that does not exist yet.")
    decided_at: datetime
    send_at: datetime | None = Field(
        description="When to send it, outside of quiet hours. Null for doing nothing, and for decisions of"
        " earlier versions."
    )
    chosen: Chosen
    reasons: list[str]
    offer: CustomerOfferFields | None = Field(None, description="What placeholders in texts stand for.")
    runners_up: list[RunnerUp] = Field(description="The other permitted options, the most valuable first.")
    not_offered: list[NotOffered]
    scores: dict[str, ScoreUsed] = Field(description="Empty for a key without the scope `scores`.")


OutcomeKind = Literal["sent", "not_sent", "shown", "clicked", "accepted", "rejected", "converted"]


class OutcomeRequest(BaseModel):
    """What the customer did about a decision."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"outcome": "converted", "value": 64.2}]}
    )

    outcome: OutcomeKind
    value: FiniteFloat | None = Field(
        None, ge=0, le=1e12, description="What a conversion brought, in the shop's currency."
    )
    at: AwareDatetime | None = Field(None, description="When it happened; now by default, never later.")

    @model_validator(mode="after")
    def _value_is_of_a_conversion(self) -> OutcomeRequest:
        if (self.value is not None) != (self.outcome == "converted"):
            raise ValueError("converted needs a value, and the other outcomes have none")
        return self


class OutcomeRecorded(BaseModel):
    """An outcome as it is kept."""

    decision_id: str
    outcome: str
    recorded: bool = Field(description="False where it had come before, in the same words.")
    at: datetime = Field(description="When it happened, as it was first recorded.")


class RunRequest(DecisionOptions):
    """For whom to decide."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"segment": "value_tier:A", "channels": ["email"], "language": "en"}]
        },
    )

    segment: SegmentFilter = None
    rule: str | None = Field(
        None,
        max_length=4000,
        description="Only customers who match this rule, as of the last build.",
        examples=["in audience valuable and recency_days > 60"],
    )


class RunState(BaseModel):
    """How far a run is, and what came of it."""

    run_id: str
    status: Literal["running", "done", "failed", "interrupted"]
    error: str | None = Field(description="Why it failed.")
    started_at: datetime
    segment: str | list[str] | None
    rule: str | None = Field(description="As one line, in its canonical form.")
    channels: list[str] | None
    language: Language
    total: int = Field(description="Customers in the segment.")
    done: int = Field(description="Customers decided for so far.")
    actions: dict[str, int] = Field(description="How many of them get which action.")


class RunRelease(BaseModel):
    """The contacts of a run that is released, or whose release is taken back."""

    run_id: str
    contacts: int = Field(description="Actions that count as exported since this release, or no longer do.")


class Row(BaseModel):
    """One customer's decision in a run; what a shop has no feature or score for is null."""

    customer_id: str | None
    decision_id: str
    action: str
    action_text: str
    channel: str | None
    expected_value: float
    cost: float
    probability: float
    how: str
    reason: str
    value_tier: str | None
    rfm_segment: str | None
    lifecycle_stage: str | None
    churn: float | None
    propensity: float | None
    clv: float | None
    run_id: str
    decided_at: datetime
    send_at: datetime | None


class RunPage(RunState):
    """A page of a run's rows, in an order that stays."""

    rows: list[Row]
    next_cursor: str | None = Field(description="Where the next page begins; null at the end of the run.")


class RunQuery(BaseModel):
    """Which page, in which form."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(None, max_length=1000)
    limit: int = Field(MAX_ROWS, ge=1, le=MAX_ROWS, description="Rows of a JSON page.")
    format: Literal["json", "ndjson", "csv", "xlsx"] = Field(
        "json", description="Files of NDJSON, CSV and .xlsx have all rows from the cursor on."
    )
    target: str | None = Field(
        None,
        alias="for",
        max_length=50,
        description="The program that a CSV or .xlsx is for: spreadsheet, zoho, fxiaoke, hubspot, salesforce,"
        " klaviyo, braze, dynamics or wecom.",
    )
    in_archive: bool = Field(
        False,
        alias="zip",
        description="A .zip of the files into which the limits of the program divide the rows.",
    )
    language: Language | None = Field(None, description="Of texts and reasons; the run's by default.")
    only_actions: bool = Field(False, description="Leave out the customers for whom nothing is to be done.")
