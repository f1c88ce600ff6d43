"""Budgets: how much money, and how many contacts, plans and decisions may use."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import Field, FiniteFloat, model_validator

from core.calendar import EPOCH, date_of
from decisions.catalogue.channels import Channel, Code
from decisions.sections import TomlSection, is_empty

Period = Literal["day", "week", "month"]


class Tagged(Protocol):
    """An action, as far as a budget's scope is concerned."""

    @property
    def name(self) -> str:
        """The name of the action."""

    @property
    def channel(self) -> str:
        """Its channel."""

    @property
    def group(self) -> str | None:
        """Its group."""


class Budget(TomlSection):
    """A budget of some actions; of all without ``action``, ``group`` and ``channel``.

    Attributes:
        money: currency that these actions may cost: contacts, acceptances and expected discounts together.
        contacts: the highest number of customers who get one of them.
        at_least: the lowest number of customers who get one of them; plans meet it or are refused.
        per: the calendar period of the shop after which it begins anew; None for a budget that does not.
        start: the shop's day from which on its use counts; None for always.
    """

    name: Code
    money: FiniteFloat | None = Field(None, ge=0, le=1e12, description="currency, 0 or more")
    contacts: int | None = Field(None, ge=0, le=10**9, description="a whole number of customers, 0 or more")
    at_least: int | None = Field(
        None, ge=1, le=10**9, exclude_if=is_empty, description="a whole number of customers, 1 or more"
    )
    action: Code | None = None
    group: Code | None = None
    channel: Code | None = None
    per: Period | None = Field(None, exclude_if=is_empty, description='"day", "week" or "month"')
    start: datetime.date | None = Field(
        None, exclude_if=is_empty, strict=False, description="a date such as 2026-12-01"
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if self.money is None and self.contacts is None and self.at_least is None:
            raise ValueError(f"the budget {self.name} limits nothing; give it money, contacts or at_least")
        if self.contacts is not None and self.at_least is not None and self.contacts < self.at_least:
            raise ValueError(
                f"the budget {self.name} has at least {self.at_least} contacts and at most {self.contacts}"
            )
        return self

    def covers(self, action: Tagged) -> bool:
        """Whether an action counts towards this budget."""
        return (
            self.action in (None, action.name)
            and self.group in (None, action.group)
            and self.channel in (None, action.channel)
        )


def check_budgets(budgets: Sequence[Budget], actions: Sequence[Tagged]) -> None:
    """Refuse two budgets of one name, and a budget that covers no action.

    Raises:
        ValueError: the message names the budget.
    """
    names = [budget.name for budget in budgets]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"there are two budgets {min(twice)}; rename one of them")
    for budget in budgets:
        if not any(budget.covers(action) for action in actions):
            raise ValueError(
                f"the budget {budget.name} covers no action; check its action, group and channel"
            )


@dataclass(frozen=True)
class SpendingLimit:
    """What decisions keep to: the money or the contacts of a budget, or the capacity of a channel.

    Attributes:
        name: of the budget or channel.
        limit: currency for ``money``, contacts for ``contacts``.
        budget: which actions count, and when.
        is_capacity: whether it is the capacity of a channel.
    """

    name: str
    kind: Literal["money", "contacts"]
    limit: float
    budget: Budget
    is_capacity: bool = False

    def window(self, day: int) -> tuple[int, int]:
        """The shop's days from which and until which the use counts with that of ``day``; exclusive end."""
        start, end = _period(self.budget.per, day)
        since = self.budget.start
        return (start if since is None else max(start, (since - EPOCH).days)), end


def spending_limits(budgets: Iterable[Budget], channels: Mapping[str, Channel]) -> tuple[SpendingLimit, ...]:
    """The limits of budgets and of the capacities of channels."""
    limits = []
    for budget in budgets:
        if budget.money is not None:
            limits.append(SpendingLimit(budget.name, "money", budget.money, budget))
        if budget.contacts is not None:
            limits.append(SpendingLimit(budget.name, "contacts", budget.contacts, budget))
    for name, channel in channels.items():
        if (capacity := channel.capacity_per_day) is not None:
            daily = Budget(name=name, contacts=capacity, channel=name, per="day")
            limits.append(SpendingLimit(name, "contacts", capacity, daily, is_capacity=True))
    return tuple(limits)


def period_days(limits: Iterable[SpendingLimit], days: Iterable[int]) -> tuple[int, ...]:
    """The shop's days on which the windows of these days begin and end."""
    windows = [limit.window(day) for limit in limits for day in days]
    return tuple(sorted({bound for window in windows for bound in window if 0 < bound < FOREVER}))


FOREVER = 10_000_000
"""After every day of a shop."""


def _period(per: Period | None, day: int) -> tuple[int, int]:
    """The first day of the calendar period of a day, and that of the next one."""
    if per == "day":
        return day, day + 1
    if per == "week":
        monday = day - date_of(day).weekday()
        return monday, monday + 7
    if per == "month":
        first = date_of(day).replace(day=1)
        next_first = (first + datetime.timedelta(days=32)).replace(day=1)
        return (first - EPOCH).days, (next_first - EPOCH).days
    return -1, FOREVER
