"""The responses with monthly key figures and cohorts."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

MONTH = Field(description="A calendar month in the shop's time zone.", examples=["2024-03"])
COMPLETE = Field(description="False for the month that is not over.")


class KpisQuery(BaseModel):
    """Which months."""

    model_config = ConfigDict(extra="forbid")

    months: int = Field(24, ge=1, le=600, description="How many months, the last ones.")


class CohortsQuery(BaseModel):
    """Which cohorts."""

    model_config = ConfigDict(extra="forbid")

    cohorts: int = Field(24, ge=1, le=600, description="How many cohorts, the last ones.")


class MonthKpis(BaseModel):
    """The key figures of a month; money is in the shop's currency."""

    month: str = MONTH
    complete: bool = COMPLETE
    customers_active: int = Field(description="Customers who ordered in the month.")
    customers_new: int = Field(description="Those whose first order it was.")
    customers_returning: int = Field(description="Those who had ordered before the month.")
    customers_lapsed: int = Field(
        description="Customers for whom `lapsed_after_days` days without an order ended in the month."
    )
    orders: int
    gross: float = Field(description="Paid for the month's orders, after discounts.")
    refunds: float = Field(description="Refunded in the month, for orders of any month.")
    net: float = Field(description="`gross` less `refunds`.")
    average_order_value: float | None = Field(description="`gross` per order; null without orders.")
    repeat_share: float | None = Field(
        description="The share of the orders that were not their customer's first; null without orders."
    )


class KpisResponse(BaseModel):
    """The key figures by month."""

    as_of: datetime
    time_zone: str
    currency: str
    lapsed_after_days: int
    months: list[MonthKpis]


class CohortMonth(BaseModel):
    """A cohort in one month."""

    month: str = MONTH
    complete: bool = COMPLETE
    months_since_first: int = Field(description="0 in the cohort's own month.")
    customers_active: int = Field(description="Customers of the cohort who ordered in the month.")
    share_active: float = Field(description="`customers_active` as a share of the cohort.")
    net_revenue: float = Field(description="Paid less refunded in the month, in the shop's currency.")
    net_revenue_per_customer: float = Field(description="`net_revenue` per customer of the cohort.")


class Cohort(BaseModel):
    """The customers whose first order was in one month."""

    cohort: str = MONTH
    customers: int
    months: list[CohortMonth]


class CohortsResponse(BaseModel):
    """The cohorts, each with its months from its own on."""

    as_of: datetime
    time_zone: str
    currency: str
    cohorts: list[Cohort]
