"""Budgets: how much money, and how many contacts, plans and decisions may use."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field, FiniteFloat, model_validator

from decisions.catalogue.channels import Code
from decisions.sections import TomlSection, is_empty


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
