"""Conditions: the customers that an action is for."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, FiniteFloat, ValidationInfo, field_validator, model_validator

from decisions.reasons import DecisionReason, reason
from decisions.sections import TomlSection
from features.group import Feature
from features.groups import FEATURES
from features.groups.segment_rules import current_name


def _scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and math.isnan(value)):
        raise ValueError("use a text, a number, true or false")
    return value


Scalar = Annotated[Any, AfterValidator(_scalar)]


class TargetCondition(TomlSection):
    """A feature, and the values that it must have. A customer whose value is missing does not match.

    The context of validation is a shop's features by name; without it those of every shop are known.
    """

    feature: str
    equals: Scalar = None
    one_of: tuple[Scalar, ...] | None = Field(None, min_length=1, strict=False)
    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None

    @field_validator("feature")
    @classmethod
    def _exists(cls, name: str, info: ValidationInfo) -> str:
        known = _known(info)
        if name not in known:
            raise ValueError(f"there is no feature {name!r}; {_suggestion(name, known)}")
        return name

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> TargetCondition:
        bounded = self.at_least is not None or self.at_most is not None
        if (self.equals is not None) + (self.one_of is not None) + bounded != 1:
            raise ValueError("say equals, or one_of, or at_least and at_most")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(
                f"at_least {self.at_least:g} is above at_most {self.at_most:g}: no customer matches"
            )
        dtype = _known(info)[self.feature].dtype
        kinds = {"string": (str,), "boolean": (bool,)}.get(dtype, (int, float))
        values = self.one_of or ((0.0,) if bounded else (self.equals,))
        if not all(
            isinstance(value, kinds) and isinstance(value, bool) <= (bool in kinds) for value in values
        ):
            type_in_words = {"string": "a text", "boolean": "true or false"}.get(dtype, "a number")
            raise ValueError(f"{self.feature} is {type_in_words}, so it cannot be compared like this")
        return self

    def mismatch(self, facts: Mapping[str, Any]) -> DecisionReason | None:
        """Why a customer with these features does not match; None if the customer matches."""
        value, name = facts.get(self.feature), self.feature
        if value is None or value != value:
            return reason("not_known", feature=name)
        if self.equals is not None and not self._has(value, self.equals):
            return reason("not_equal", feature=name, value=value, wanted=self.equals)
        if self.one_of is not None and not any(self._has(value, wanted) for wanted in self.one_of):
            return reason("not_one_of", feature=name, value=value, wanted=list(self.one_of))
        if self.at_least is not None and value < self.at_least:
            return reason("below", feature=name, value=value, bound=self.at_least)
        if self.at_most is not None and value > self.at_most:
            return reason("above", feature=name, value=value, bound=self.at_most)
        return None

    def _has(self, value: Any, wanted: Any) -> bool:
        """Whether a value is the wanted one; of segments also by the name of an earlier release."""
        if isinstance(value, str) and isinstance(wanted, str):
            return current_name(self.feature, value) == current_name(self.feature, wanted)
        return bool(value == wanted)


def _known(info: ValidationInfo) -> Mapping[str, Feature]:
    return FEATURES if info.context is None else info.context


def _suggestion(name: str, known: Mapping[str, Feature]) -> str:
    matches = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(matches)}?" if matches else "`patron features` lists them"
