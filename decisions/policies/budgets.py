"""Budgets and capacities: what is left for one more contact.

A limit counts what decisions used in one window of the shop's days, with the tags of their actions as they
were when they were decided. A contact counts on the shop's day for which it is planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.calendar import day_of
from decisions.catalogue.budgets import SpendingLimit, Tagged
from decisions.names.channels import channel_in_chinese
from decisions.reasons import DecisionReason, reason
from records.contacts.spending import SpentRow

AHEAD_DAYS = 3
"""Days of which the uses are read: today, and those for which quiet hours can plan a contact."""
_SLACK = 1e-6  # currency; sums are exact to this
_PERIODS = {
    None: {"en": "in all", "zh": "共"},
    "day": {"en": "on that day", "zh": "当日"},
    "week": {"en": "in that week", "zh": "当周"},
    "month": {"en": "in that month", "zh": "当月"},
}


@dataclass(frozen=True)
class BudgetUse:
    """What was used of budgets at the moment of a decision.

    Attributes:
        day: the shop's day of the decision. spending_day: the day as which budgets count it; another one in
            a shop whose clock stands still.
        zone: the shop's time zone.
    """

    rows: Sequence[SpentRow]
    day: int
    spending_day: int
    zone: str

    def day_of(self, planned: datetime) -> int:
        """The day on which budgets count a contact that is planned for a moment."""
        return self.spending_day + max(0, day_of(planned, self.zone) - self.day)

    def used(self, limit: SpendingLimit, day: int) -> float:
        """What was used of a limit in the window of a day: currency, or contacts."""
        start, end = limit.window(day)
        counted = [r for r in self.rows if start <= r.since < end and limit.budget.covers(r)]
        return sum(r.money if limit.kind == "money" else r.contacts for r in counted)


def refusal(
    limits: Sequence[SpendingLimit], action: Tagged, expense: float, use: BudgetUse, planned: datetime
) -> DecisionReason | None:
    """Why a limit does not permit one more contact by an action; None if all do.

    Args:
        expense: the money that the contact is expected to cost, discounts included.
        planned: the moment of the contact.
    """
    day = use.day_of(planned)
    for limit in limits:
        if not limit.budget.covers(action):
            continue
        more = expense if limit.kind == "money" else 1.0
        left = limit.limit - use.used(limit, day)
        if more > left + _SLACK:
            return _reason(limit, max(0.0, left), expense)
    return None


def _reason(limit: SpendingLimit, left: float, expense: float) -> DecisionReason:
    number = f"{limit.limit:,.0f}"
    if limit.is_capacity:
        channel = {"en": limit.name, "zh": channel_in_chinese(limit.name)}
        return reason("capacity", channel=channel, limit=number)
    values = {"budget": limit.name, "period": _PERIODS[limit.budget.per]}
    if limit.kind == "money":
        return reason("budget_money", left=left, expense=expense, **values)
    return reason("budget_contacts", limit=number, **values)
