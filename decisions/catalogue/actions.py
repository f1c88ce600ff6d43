"""The actions of a home: what the company can do for a customer, as ``actions.toml`` declares it.

``example.toml`` beside this file shows every setting; it fits the simulated shop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, FiniteFloat, field_validator, model_validator

from decisions.effects import Effect
from decisions.policies.limits import Limit
from decisions.reasons import Language
from decisions.rules.conditions import TargetCondition
from decisions.sections import TomlSection

EXAMPLE = Path(__file__).with_name("example.toml")
NOTHING = "nothing"
NO_CHANNEL = "none"
NOTHING_TEXT = {"en": "No contact", "zh": "不联系"}

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$", description="a-z, 0-9 and _, at most 50")]


class Action(TomlSection):
    """Something the company can do for a customer.

    Attributes:
        cost: per contact, in the shop's currency.
        discount: the share of the price given away on every order within the horizon of the model
            that the effect is on, also on orders that would have come anyway.
        text: the message to the customer, by language.
        who: the customer must match all of these conditions.
        repeat_after_days: the minimum number of days between two times that it is chosen for a customer.
    """

    name: Name
    channel: Name
    cost: FiniteFloat = Field(ge=0, le=1e6, description="currency per contact, 0 or more")
    discount: FiniteFloat = Field(0.0, ge=0, le=1, description="a share of the price, from 0 to 1")
    text: dict[Language, str] = Field(default_factory=dict)
    who: tuple[TargetCondition, ...] = Field((), strict=False)
    repeat_after_days: int = Field(1, ge=1, le=3650, description="whole days, from 1 to 3650")
    effect: Effect

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
        control_share: the share of the customers who get nothing for a month.
        exploration_share: the share of the decisions in which a random permitted option is chosen, so that
            effects can be measured.
        limits: how often a customer may be contacted.
        reservation_hours: after so many hours the place within the limits that a decision reserves is free
            again, if nothing was sent.
    """

    margin: FiniteFloat = Field(gt=0, le=1, description="a share of the revenue, above 0 and at most 1")
    control_share: FiniteFloat = Field(ge=0, le=0.5, description="a share of the customers, from 0 to 0.5")
    exploration_share: FiniteFloat = Field(ge=0, le=1, description="a share of the decisions, from 0 to 1")
    actions: tuple[Action, ...] = Field(
        min_length=1, max_length=200, strict=False, description="sections [[actions]], from 1 to 200"
    )

    limits: tuple[Limit, ...] = Field((), max_length=50, strict=False, description="sections [[limits]]")
    reservation_hours: int = Field(24, ge=1, le=720, description="whole hours, from 1 to 720")

    @field_validator("actions")
    @classmethod
    def _names_differ(cls, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        names = [action.name for action in actions]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"there are two actions {min(twice)}; rename one of them")
        return tuple(sorted(actions, key=lambda action: action.name))

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of the actions, without duplicates."""
        return tuple(sorted({action.channel for action in self.actions}))

    @property
    def features(self) -> tuple[str, ...]:
        """The features that conditions read, without duplicates."""
        return tuple(dict.fromkeys(condition.feature for action in self.actions for condition in action.who))

    @cached_property
    def canonical(self) -> str:
        """The content of the file as JSON, independent of comments, blanks and the order of actions."""
        content = self.model_dump()
        # Left out where it is as in files of earlier versions, so that their decisions still stand.
        for name in ("limits", "reservation_hours"):
            if getattr(self, name) == type(self).model_fields[name].default:
                del content[name]
        return json.dumps(content, sort_keys=True, ensure_ascii=False)

    @cached_property
    def digest(self) -> str:
        """A short digest of :attr:`canonical`."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()[:16]


def texts(canonical: str) -> dict[str, dict[str, str]]:
    """The texts of the actions of :attr:`Actions.canonical`, by action and language."""
    by_action = {action["name"]: action["text"] for action in json.loads(canonical)["actions"]}
    return {NOTHING: NOTHING_TEXT, **by_action}


def text_in(language: Language, by_language: Mapping[str, str], name: str) -> str:
    """An action's text in that language, else in another language, else the action's name."""
    return by_language.get(language) or next(iter(by_language.values()), name)
