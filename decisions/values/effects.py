"""Effects: what an action is assumed to change."""

from __future__ import annotations

from pydantic import Field, FiniteFloat, field_validator, model_validator

from decisions.sections import TomlSection, is_empty
from decisions.values.categories import KIND
from decisions.values.formulas import FORMULAS, unknown_kind


class Effect(TomlSection):
    """The assumed effect of an action on a probability: p becomes p × times + plus, within 0 and 1.

    Attributes:
        category: of an effect on category propensity; None for the customer's most probable category.
        strength: the number of observations that the assumption is worth against measured ones.
    """

    on: str
    times: FiniteFloat = Field(1.0, ge=0, le=100, description="a factor, from 0 to 100")
    plus: FiniteFloat = Field(0.0, ge=-1, le=1, description="a probability to add, from -1 to 1")
    strength: FiniteFloat | None = Field(
        None, gt=0, le=1e9, exclude_if=is_empty, description="observations, above 0"
    )

    category: str | None = Field(None, min_length=1, max_length=200, exclude_if=is_empty)

    @field_validator("on")
    @classmethod
    def _has_a_formula(cls, kind: str) -> str:
        if kind not in FORMULAS:
            raise ValueError(unknown_kind(kind))
        return kind

    @model_validator(mode="after")
    def _changes_something(self) -> Effect:
        if not {"times", "plus"} & self.model_fields_set:
            raise ValueError("the effect changes nothing; give it times = 1.25, or plus = 0.02")
        return self

    @model_validator(mode="after")
    def _only_categories_have_one(self) -> Effect:
        if self.category is not None and self.on != KIND:
            raise ValueError(f"category belongs to effects on {KIND!r}; remove it, or set on = {KIND!r}")
        return self

    def after(self, probability: float) -> float:
        """The probability after the action."""
        return min(1.0, max(0.0, probability * self.times + self.plus))
