"""Rules as tables of TOML or JSON: lists of conditions, and ``all``, ``any`` and ``none`` of rules."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    FiniteFloat,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from core.errors import meant
from decisions.rules.text import MAX_DEPTH, parse
from decisions.rules.tree import All, Rule, all_of, group_of
from decisions.rules.vocabulary import RuleError, Vocabulary, comparison, vocabulary
from decisions.rules.writing import text_of
from decisions.sections import TomlSection

GROUPS = ("all", "any", "none")


def _scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and math.isnan(value)):
        raise ValueError("use a text, a number, true or false")
    return value


Scalar = Annotated[Any, AfterValidator(_scalar)]


class TargetCondition(TomlSection):
    """A feature or a score, and the values that it must have. A customer without a value does not match.

    The context of validation is a shop's features by name; without it those of every shop are known.
    """

    feature: str
    equals: Scalar = None
    one_of: tuple[Scalar, ...] | None = Field(None, min_length=1, strict=False)
    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None
    _rule: Rule = PrivateAttr(default=All(()))

    @property
    def rule(self) -> Rule:
        """The condition as a tree."""
        return self._rule

    @field_validator("feature")
    @classmethod
    def _exists(cls, name: str, info: ValidationInfo) -> str:
        return vocabulary(info.context).term(name).name

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> TargetCondition:
        bounded = self.at_least is not None or self.at_most is not None
        if (self.equals is not None) + (self.one_of is not None) + bounded != 1:
            raise ValueError("say equals, or one_of, or at_least and at_most")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(
                f"at_least {self.at_least:g} is above at_most {self.at_most:g}: no customer matches"
            )
        term = vocabulary(info.context).term(self.feature)
        if bounded:
            bounds = ((">=", self.at_least), ("<=", self.at_most))
            parts = [comparison(term, sign, [b]) for sign, b in bounds if b is not None]  # type: ignore[arg-type]
            self._rule = all_of(parts)
        else:
            self._rule = comparison(term, "in", [self.equals] if self.one_of is None else self.one_of)
        return self


def rule_of(
    value: Any, known: Mapping[str, Any] | None = None, audiences: Collection[str] | None = None
) -> Rule:
    """The rule that a text, a table or a list (all of its rules) is.

    Args:
        known: the shop's features by name; those of every shop for None.
        audiences: the names of the audiences; None if they are checked later.

    Raises:
        RuleError: it is none; the message says where, and what to do.
    """
    return _Reader(known, vocabulary(known, audiences)).read(value, "", 0)


class _Reader:
    def __init__(self, known: Mapping[str, Any] | None, words: Vocabulary) -> None:
        self._known, self._words = known, words

    def read(self, value: Any, place: str, depth: int) -> Rule:
        if depth > MAX_DEPTH:
            raise RuleError(f"at most {MAX_DEPTH} rules can be inside each other")
        if isinstance(value, str):
            return self._placed(place, lambda: parse(value, self._words))
        if isinstance(value, list | tuple):
            return all_of(self.read(item, f"{place}.{i}", depth + 1) for i, item in enumerate(value, 1))
        if not isinstance(value, dict):
            raise RuleError(
                self._at(
                    place,
                    'a rule is a text such as "churn > 0.5", or a table with all, any, none,'
                    " audience or feature",
                )
            )
        if "audience" in value and len(value) == 1:
            return self._placed(place, lambda: self._words.audience(str(value["audience"])))
        group = next((name for name in GROUPS if name in value), None)
        if group is None:
            return self._condition(value, place)
        if len(value) > 1 or not isinstance(value[group], list) or not value[group]:
            raise RuleError(self._at(place, f"{group} is a list of rules, and alone in its table"))
        parts = [self.read(item, f"{place}.{group}.{i}", depth + 1) for i, item in enumerate(value[group], 1)]
        return group_of(group, parts)

    def _condition(self, value: dict[str, Any], place: str) -> Rule:
        try:
            return TargetCondition.model_validate(value, context=self._known).rule
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join([place, *map(str, first["loc"])])
            raise RuleError(self._at(where, meant(first))) from error

    def _placed(self, place: str, make: Any) -> Rule:
        try:
            rule: Rule = make()
        except RuleError as error:
            raise RuleError(self._at(place, str(error))) from error
        return rule

    @staticmethod
    def _at(place: str, message: str) -> str:
        return f"{place.lstrip('.')}: {message}" if place.strip(".") else message


def _validated(value: Any, info: ValidationInfo) -> Rule:
    return rule_of(value, info.context)


RuleField = Annotated[Rule, PlainValidator(_validated), PlainSerializer(text_of, return_type=str)]
"""A rule in a section: read from a text or tables, written as a text."""
