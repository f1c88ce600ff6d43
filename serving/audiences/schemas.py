"""Audiences, as requests and responses have them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from decisions.reasons import Language
from serving.http.cursors import MAX_CURSOR_LENGTH

MAX_MEMBERS = 1000
MAX_LABEL = 200
"""Characters of an audience's name for people."""


class AudienceContent(BaseModel):
    """An audience to be saved."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "rule": "orders_total >= 1 and recency_days <= 365",
                    "text": {"en": "Active", "zh": "活跃客户"},
                }
            ]
        },
    )

    rule: str | dict[str, Any] = Field(
        description="As one line of text, or as a table; docs/rules.md has the language."
    )
    text: dict[Language, Annotated[str, Field(max_length=MAX_LABEL)]] = Field(
        {}, description="Its name for people, by language."
    )


class AudienceSize(BaseModel):
    """A named rule, with its customers as of the last build."""

    name: str
    rule: str = Field(description="As one line.", examples=["value_tier in (A, B) and orders_365d >= 2"])
    text: dict[str, str] = Field(description="Its name for people, by language.")
    digest: str = Field(description="Of the content; a change sends it as `If-Match`.")
    saved: bool = Field(description="Saved by a request; false for one that `actions.toml` declares.")
    customers: int | None = Field(description="Null before the first build.")
    clv: float | None = Field(
        description="The sum of their lifetime values by the newest scores of all customers, in the shop's"
        " currency; a customer without a score adds nothing; null before all customers were scored."
    )
    reach: dict[str, int] | None = Field(
        description="By channel, how many of them decisions may contact by it now: by consent and"
        " suppressions of this moment, with an address where one is declared. Contact limits are left out."
        " Null until it was counted once: while the database is unavailable, and in a shop of more than"
        " 100,000 customers for seconds after the first request."
    )
    reach_as_of: datetime | None = Field(
        description="The moment of `reach`; a large shop counts it in the background, at most once a minute."
    )
    reach_share: dict[str, float] | None = Field(description="The same as a share of the audience.")


class AudienceList(BaseModel):
    """The audiences of the shop."""

    as_of: datetime | None = Field(description="The moment of the features by which customers are counted.")
    customers: int | None = Field(description="All customers.")
    audiences: list[AudienceSize]


class AudienceMember(BaseModel):
    """A customer of an audience; what a shop has no feature or score for is null."""

    customer_id: str
    value_tier: str | None
    rfm_segment: str | None
    lifecycle_stage: str | None
    churn: float | None = Field(
        description="Like the other scores null for a key without the scope `scores`."
    )
    propensity: float | None
    clv: float | None


class AudienceMembers(BaseModel):
    """A page of the customers of an audience, in the order in which they became known."""

    as_of: datetime
    total: int
    customers: list[AudienceMember]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last page.")


class MembersQuery(BaseModel):
    """Which page, in which form."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(None, max_length=MAX_CURSOR_LENGTH)
    limit: int = Field(100, ge=1, le=MAX_MEMBERS, description="Customers of a JSON page.")
    format: Literal["json", "ndjson", "csv", "xlsx", "parquet"] = Field(
        "json", description="Files have all customers from the cursor on."
    )
