"""Audiences, as responses have them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field


class AudienceSize(BaseModel):
    """A named rule of `actions.toml`, with its customers as of the last build."""

    name: str
    rule: str = Field(description="As one line.", examples=["value_tier in (A, B) and orders_365d >= 2"])
    text: dict[str, str] = Field(description="Its name for people, by language.")
    customers: int | None = Field(description="Null before the first build.")
    clv: float | None = Field(
        description="The sum of their lifetime values by the newest scores of all customers, in the shop's"
        " currency; null without such scores."
    )
    reach: dict[str, int] | None = Field(
        description="By channel, how many of them it reaches: those with an address, where it is declared,"
        " who did not refuse, and consented, where the channel requires it."
    )


class AudienceList(BaseModel):
    """The audiences of the shop."""

    as_of: datetime | None = Field(description="The moment of the features by which customers are counted.")
    customers: int | None = Field(description="All customers.")
    audiences: list[AudienceSize]
