"""The actions of a home: what the company can do for a customer, as ``actions.toml`` declares it.

``example.toml`` beside this file shows every setting; it fits the simulated shop.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, FiniteFloat, field_validator, model_validator

from core.calendar import EPOCH
from decisions.catalogue.audiences import Audience, check_names, resolved
from decisions.catalogue.budgets import Budget, SpendingLimit, check_budgets, spending_limits
from decisions.catalogue.channels import NO_CHANNEL, Channel, Code
from decisions.offers import placeholders
from decisions.policies.limits import Limit
from decisions.policies.suppression import Suppression
from decisions.reasons import Language
from decisions.rules.conditions import RuleField, TargetCondition
from decisions.rules.tree import Rule, all_of, terms, with_audiences
from decisions.sections import TomlSection, equals, is_empty, is_one
from decisions.values.effects import Effect

EXAMPLE = Path(__file__).with_name("example.toml")
NOTHING = "nothing"
EXPLORATION_LOSS_SHARE = 0.05
Factor = Literal["brought_forward", "discounts", "costs", "lever", "budget_prices", "channel_preference"]
_DATE = "a date such as 2026-12-01"
_SHARE = "a share of the customers, from 0 to 0.5"


class Action(TomlSection):
    """Something the company can do for a customer.

    Attributes:
        cost: per contact, in the shop's currency.
        cost_per_acceptance: per customer who uses the offer, in the shop's currency.
        discount: the share of the price given away on every order within the horizon of the model
            that the effect is on, also on orders that would have come anyway.
        text: the message to the customer, by language.
        label: its name in reasons and lists for people, by language; without one, see :func:`texts.label_of`.
        who: the customer must match all of these conditions, and the ``rule``.
        repeat_after_days: the minimum number of days between two times that it is chosen for a customer.
        group: what it is for, such as ``retain``, ``grow``, ``win_back``, ``reward`` or ``welcome``.
        start, end: its first and last day in the shop's zone; None for no limit.
        lever: the company's own priority: multiplies a positive value when options are ranked.
        goal: what it is to achieve, for people.
    """

    name: Code
    channel: Code
    cost: FiniteFloat = Field(ge=0, le=1e6, description="currency per contact, 0 or more")
    cost_per_acceptance: FiniteFloat = Field(
        0.0, ge=0, le=1e6, exclude_if=equals(0), description="currency per use, 0 or more"
    )
    discount: FiniteFloat = Field(0.0, ge=0, le=1, description="a share of the price, from 0 to 1")
    text: dict[Language, str] = Field(default_factory=dict)
    label: dict[Language, str] = Field(
        default_factory=dict, exclude_if=is_empty, description="names by language"
    )
    who: tuple[TargetCondition, ...] = Field((), strict=False)
    repeat_after_days: int = Field(1, ge=1, le=3650, description="whole days, from 1 to 3650")
    effect: Effect
    rule: RuleField | None = Field(None, exclude_if=is_empty)
    group: Code | None = Field(None, exclude_if=is_empty)
    start: datetime.date | None = Field(None, exclude_if=is_empty, strict=False, description=_DATE)
    end: datetime.date | None = Field(None, exclude_if=is_empty, strict=False, description=_DATE)
    lever: FiniteFloat = Field(1.0, gt=0, le=10, exclude_if=is_one, description="a factor, up to 10")
    goal: str | None = Field(None, max_length=200, exclude_if=is_empty)

    @property
    def condition(self) -> Rule:
        """The conditions and the rule together; the audiences in it are not resolved."""
        return all_of([*(condition.rule for condition in self.who), *([self.rule] if self.rule else [])])

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """The placeholders in its texts, see :mod:`decisions.offers`."""
        return placeholders(self.text.values())

    def is_over(self, day: int) -> bool:
        """Whether its last day is before a day of the shop (days since 1970-01-01)."""
        return self.end is not None and (self.end - EPOCH).days < day

    def is_early(self, day: int) -> bool:
        """Whether its first day is after a day of the shop."""
        return self.start is not None and (self.start - EPOCH).days > day

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Action:
        if self.start is not None and self.end is not None and self.start > self.end:
            raise ValueError(f"it ends on {self.end}, before it starts on {self.start}")
        return self

    @model_validator(mode="after")
    def _is_not_nothing(self) -> Action:
        if self.name == NOTHING:
            raise ValueError("doing nothing is always among the options; leave it out")
        if self.channel == NO_CHANNEL:
            raise ValueError("the channel name none is reserved for doing nothing; use another")
        return self


class Actions(TomlSection):
    """A home's actions.

    Attributes:
        margin: the share of the revenue that is left, before discounts.
        holdout_share: the share of the customers who get no marketing while its effect is measured.
        holdout_start: the first day of the holdout in the shop's zone; the day of declaring it if omitted.
        conversion_days: an order within so many days after a contact is a conversion of it.
        control_share: what ``holdout_share`` was called when the group changed every month.
        exploration_share: the share of the decisions in which a random permitted option is chosen.
        limits: how often a customer may be contacted.
        suppressions: when a customer is left alone for a while.
        suppress_open_complaints: whether customers with an open complaint get no marketing.
        reservation_hours: the hours after which a reserved place is free again, if nothing was sent.
        channels: what is declared about channels, by name; an action may use one that is not declared.
        audiences: named rules.
        value_horizon_days: the time within which every action's change of the net margin is counted.
        brought_forward_share: the share of additional orders that would have come later anyway.
        first_order_value: what a prospect's first order is worth, in currency; effects on leads need it.
        max_exploration_loss: currency; options worth less than the best by more than this are never drawn.
            If omitted, it is ``EXPLORATION_LOSS_SHARE`` of the customer's average order.
        factors_off: factors that the ranking ignores.
        budgets: the money and the contacts that plans and decisions may use.
    """

    margin: FiniteFloat = Field(gt=0, le=1, description="a share of the revenue, above 0 and at most 1")
    holdout_share: FiniteFloat | None = Field(None, ge=0, le=0.5, exclude_if=is_empty, description=_SHARE)
    holdout_start: datetime.date | None = Field(None, exclude_if=is_empty, strict=False, description=_DATE)
    control_share: FiniteFloat | None = Field(None, ge=0, le=0.5, exclude_if=is_empty, description=_SHARE)
    conversion_days: int = Field(7, ge=1, le=90, exclude_if=equals(7), description="whole days, from 1 to 90")
    exploration_share: FiniteFloat = Field(ge=0, le=1, description="a share of the decisions, from 0 to 1")
    value_horizon_days: int = Field(
        90, ge=1, le=3650, exclude_if=equals(90), description="whole days, from 1 to 3650"
    )
    brought_forward_share: FiniteFloat = Field(
        0.0, ge=0, le=1, exclude_if=equals(0), description="a share of the additional orders, from 0 to 1"
    )
    first_order_value: FiniteFloat | None = Field(
        None, gt=0, le=1e9, exclude_if=is_empty, description="currency, above 0"
    )
    max_exploration_loss: FiniteFloat | None = Field(
        None, ge=0, le=1e9, exclude_if=is_empty, description="currency per decision, 0 or more"
    )
    factors_off: tuple[Factor, ...] = Field(
        (),
        strict=False,
        exclude_if=is_empty,
        description='a list of "brought_forward", "discounts", "costs", "lever", "budget_prices" and'
        ' "channel_preference"',
    )
    budgets: tuple[Budget, ...] = Field(
        (), max_length=50, strict=False, exclude_if=is_empty, description="sections [[budgets]]"
    )
    actions: tuple[Action, ...] = Field(
        min_length=1, max_length=200, strict=False, description="sections [[actions]], from 1 to 200"
    )
    limits: tuple[Limit, ...] = Field(
        (), max_length=50, strict=False, exclude_if=is_empty, description="sections [[limits]]"
    )
    suppressions: tuple[Suppression, ...] = Field(
        (), max_length=50, strict=False, exclude_if=is_empty, description="sections [[suppressions]]"
    )
    suppress_open_complaints: bool = Field(False, exclude_if=equals(False), description="true or false")
    reservation_hours: int = Field(
        24, ge=1, le=720, exclude_if=lambda hours: hours == 24, description="whole hours, from 1 to 720"
    )
    channels: dict[Code, Channel] = Field(default_factory=dict, exclude_if=is_empty)
    audiences: dict[Code, Audience] = Field(default_factory=dict, exclude_if=is_empty)

    @field_validator("actions")
    @classmethod
    def _names_differ(cls, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        names = [action.name for action in actions]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"there are two actions {min(twice)}; rename one of them")
        return tuple(sorted(actions, key=lambda action: action.name))

    @model_validator(mode="after")
    def _rules_name_audiences_that_exist(self) -> Actions:
        rules = self.audience_rules
        for action in self.actions:
            check_names(action.condition, rules, f"action {action.name}")
        return self

    @model_validator(mode="after")
    def _budgets_cover_actions(self) -> Actions:
        check_budgets(self.budgets, self.actions)
        return self

    @property
    def lasting_holdout_share(self) -> float:
        """The declared share of the holdout; 0 if none is declared."""
        return next((s for s in (self.holdout_share, self.control_share) if s is not None), 0.0)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels of the actions, without duplicates."""
        return tuple(sorted({action.channel for action in self.actions}))

    def channel(self, name: str) -> Channel:
        """What is declared about a channel."""
        return self.channels.get(name) or Channel()

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """The placeholders in the texts of the actions."""
        return frozenset(name for action in self.actions for name in action.placeholders)

    @cached_property
    def spending_limits(self) -> tuple[SpendingLimit, ...]:
        """What decisions keep to: budgets and the capacities of channels."""
        return spending_limits(self.budgets, self.channels)

    @cached_property
    def audience_rules(self) -> dict[str, Rule]:
        """The rules of the audiences by name, with those that they refer to."""
        return resolved({name: audience.rule for name, audience in self.audiences.items()})

    @cached_property
    def targets(self) -> dict[str, Rule]:
        """By action, the rule that a customer must match, with the audiences that it refers to."""
        rules = self.audience_rules
        return {action.name: with_audiences(action.condition, rules.__getitem__) for action in self.actions}

    @property
    def features(self) -> tuple[str, ...]:
        """The features that rules of actions read, without duplicates."""
        read = (term for target in self.targets.values() for term in terms(target) if not term.is_score)
        return tuple(dict.fromkeys(term.name for term in read))

    @cached_property
    def canonical(self) -> str:
        """The content of the file as JSON, independent of comments, blanks and the order of actions."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)

    @cached_property
    def digest(self) -> str:
        """A short digest of :attr:`canonical`."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()[:16]
