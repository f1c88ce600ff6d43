"""The catalogue of actions, as responses have it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from decisions.reasons import Language


class CatalogueWarning(BaseModel):
    """What looks like a mistake; the catalogue is used all the same."""

    action: str | None = Field(description="Null for the whole catalogue.")
    code: str
    en: str
    zh: str


class CatalogueAction(BaseModel):
    """An action as it is declared, and how many customers fit it now."""

    name: str
    channel: str
    group: str | None
    text: dict[str, str] = Field(description="By language.")
    label: dict[str, str] = Field({}, description="Its name for people, by language.")
    rule: str | None = Field(description="For whom it is, as one line; null for everybody.")
    state: Literal["active", "not started", "over"]
    start: str | None = Field(description="The first day, in the shop's zone.")
    end: str | None = Field(description="The last day.")
    goal: str | None
    cost: float = Field(description="Per contact, in the shop's currency.")
    discount: float = Field(description="A share of the price.")
    repeat_after_days: int
    effect: dict[str, Any] = Field(description="The assumed effect.")
    fits: int | None = Field(description="Customers who match its rule now; null before the first build.")


class Catalogue(BaseModel):
    """The actions of the shop."""

    digest: str = Field(description="Of the content; the decisions made by it name it, too.")
    customers: int | None = Field(description="All customers, as of the last build.")
    as_of: datetime | None = Field(description="The moment of the features by which customers are counted.")
    actions: list[CatalogueAction]
    channels: dict[str, dict[str, Any] | None] = Field(
        description="What is declared about each; null for nothing."
    )
    warnings: list[CatalogueWarning]


class ActionFunnel(BaseModel):
    """For how many customers an action reaches each stage; each stage has passed the ones before."""

    action: str
    channel: str
    eligible: int = Field(description="Its dates and its rule fit.")
    suitable: int = Field(description="Its value is known, and it does no harm.")
    consented: int
    within_limits: int = Field(description="Contact limits, suppressions and its own repetition permit it.")
    within_budget: int = Field(description="For these customers it was an option.")
    won: int = Field(description="It was chosen.")
    withheld: int = Field(description="It would have been chosen, and the customer is in the holdout.")
    sent: int = Field(description="Contacts of the last `days`: sent, shown or exported.")
    accepted: int = Field(description="Of these, accepted or followed by an order.")
    words: dict[Language, str]


class Funnels(BaseModel):
    """The funnels of actions."""

    as_of: datetime = Field(description="When the run began.")
    run_id: str | None = Field(description="Null for a preview.")
    rules: str = Field(description="The `digest` of the catalogue by which was decided.")
    customers: int
    days: int = Field(description="The days of `sent` and `accepted`.")
    actions: list[ActionFunnel]
