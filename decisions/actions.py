"""What the company can do for a customer, as TOML in ``actions.toml`` of a home.

``example.toml`` beside this file shows every setting; it fits the simulated shop.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from core.errors import NothingThere, PatronError, meant
from core.home import Home
from decisions.reasons import Because, Language, because
from features.groups import FEATURES

EXAMPLE = Path(__file__).with_name("example.toml")
NOTHING = "nothing"
NO_CHANNEL = "none"
NOTHING_TEXT = {"en": "No contact", "zh": "不联系"}
TOUCHED = ("propensity", "churn")


def _plain(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and math.isnan(value)):
        raise ValueError("use a text, a number, true or false")
    return value


Plain = Annotated[Any, AfterValidator(_plain)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$", description="a-z, 0-9 and _, at most 50")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Condition(_Section):
    """Who an action is for: one feature, and what it must be. A value that is missing is outside."""

    feature: str
    equals: Plain = None
    one_of: tuple[Plain, ...] | None = Field(None, min_length=1, strict=False)
    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None

    @field_validator("feature")
    @classmethod
    def _exists(cls, name: str) -> str:
        if name not in FEATURES:
            raise ValueError(f"there is no feature {name!r}; {_close(name)}")
        return name

    @model_validator(mode="after")
    def _fits(self) -> Condition:
        bounded = self.at_least is not None or self.at_most is not None
        if (self.equals is not None) + (self.one_of is not None) + bounded != 1:
            raise ValueError("say equals, or one_of, or at_least and at_most")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}: that is nobody")
        dtype = FEATURES[self.feature].dtype
        kinds = {"string": (str,), "boolean": (bool,)}.get(dtype, (int, float))
        asked = self.one_of or ((0.0,) if bounded else (self.equals,))
        if not all(
            isinstance(value, kinds) and isinstance(value, bool) <= (bool in kinds) for value in asked
        ):
            means = {"string": "a text", "boolean": "true or false"}.get(dtype, "a number")
            raise ValueError(f"{self.feature} is {means}, so it cannot be compared like this")
        return self

    def refusal(self, facts: Mapping[str, Any]) -> Because | None:
        """Why a customer with these features is outside; None when inside."""
        value, name = facts.get(self.feature), self.feature
        if value is None or value != value:
            return because("not_known", feature=name)
        if self.equals is not None and value != self.equals:
            return because("not_equal", feature=name, value=value, wanted=self.equals)
        if self.one_of is not None and value not in self.one_of:
            return because("not_one_of", feature=name, value=value, wanted=list(self.one_of))
        if self.at_least is not None and value < self.at_least:
            return because("below", feature=name, value=value, bound=self.at_least)
        if self.at_most is not None and value > self.at_most:
            return because("above", feature=name, value=value, bound=self.at_most)
        return None


class Effect(_Section):
    """What the action is assumed to do to a probability: p becomes p × times + plus, within 0 and 1."""

    on: str
    times: FiniteFloat = Field(1.0, ge=0, le=100, description="a factor, from 0 to 100")
    plus: FiniteFloat = Field(0.0, ge=-1, le=1, description="a probability to add, from -1 to 1")

    @field_validator("on")
    @classmethod
    def _can_be_touched(cls, name: str) -> str:
        if name not in TOUCHED:
            raise ValueError(f"an effect cannot be on {name!r}; it is on {' or '.join(TOUCHED)}")
        return name

    @model_validator(mode="after")
    def _says_something(self) -> Effect:
        if not {"times", "plus"} & self.model_fields_set:
            raise ValueError("say what it does: times = 1.25, or plus = 0.02")
        return self

    def after(self, probability: float) -> float:
        """The probability once the action was taken."""
        return min(1.0, max(0.0, probability * self.times + self.plus))


class Action(_Section):
    """Something the company can do for a customer.

    Attributes:
        cost: per contact, in the shop's currency.
        discount: the share of the price given away on every order within the horizon of the model
            that the effect is on, also on orders that would have come anyway.
        text: what is said, by language.
        who: all of these must hold.
        repeat_after_days: the least number of days from one time it is chosen for a customer to the next.
    """

    name: Name
    channel: Name
    cost: FiniteFloat = Field(ge=0, le=1e6, description="currency per contact, 0 or more")
    discount: FiniteFloat = Field(0.0, ge=0, le=1, description="a share of the price, from 0 to 1")
    text: dict[Language, str] = {}
    who: tuple[Condition, ...] = Field((), strict=False)
    repeat_after_days: int = Field(1, ge=1, le=3650, description="whole days, from 1 to 3650")
    effect: Effect

    @model_validator(mode="after")
    def _is_not_nothing(self) -> Action:
        if self.name == NOTHING:
            raise ValueError("doing nothing is always among the options; leave it out")
        if self.channel == NO_CHANNEL:
            raise ValueError("the channel none is that of doing nothing; name another")
        return self


class Actions(_Section):
    """A home's actions.

    Attributes:
        margin: the share of the revenue that is left, before discounts.
        control_share: of the customers, who get nothing this month.
        exploration_share: how often a random permitted option is taken, to learn from.
    """

    margin: FiniteFloat = Field(gt=0, le=1, description="a share of the revenue, above 0 and at most 1")
    control_share: FiniteFloat = Field(ge=0, le=0.5, description="a share of the customers, from 0 to 0.5")
    exploration_share: FiniteFloat = Field(ge=0, le=1, description="a share of the decisions, from 0 to 1")
    actions: tuple[Action, ...] = Field(
        min_length=1, max_length=200, strict=False, description="sections [[actions]], from 1 to 200"
    )

    @field_validator("actions")
    @classmethod
    def _names_differ(cls, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        names = [action.name for action in actions]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"there are two actions {min(twice)}; name one of them otherwise")
        return tuple(sorted(actions, key=lambda action: action.name))

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that actions go through, each once."""
        return tuple(sorted({action.channel for action in self.actions}))

    @property
    def features(self) -> tuple[str, ...]:
        """The features that conditions read, each once."""
        named = (condition.feature for action in self.actions for condition in action.who)
        return tuple(dict.fromkeys(named))

    @cached_property
    def canonical(self) -> str:
        """What the file says, as JSON: comments, blanks and the order of actions leave it alone."""
        return json.dumps(self.model_dump(), sort_keys=True, ensure_ascii=False)

    @cached_property
    def digest(self) -> str:
        """A short digest of what the file says."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()[:16]


def texts(canonical: str) -> dict[str, dict[str, str]]:
    """What each action of :attr:`Actions.canonical` says, by name and language."""
    said = {action["name"]: action["text"] for action in json.loads(canonical)["actions"]}
    return {NOTHING: NOTHING_TEXT, **said}


def text_in(language: Language, said: Mapping[str, str], name: str) -> str:
    """An action's text in that language, or in the one there is, or else its name."""
    return said.get(language) or next(iter(said.values()), name)


def load(home: Home) -> Actions:
    """The actions of a home.

    Raises:
        NothingThere: there is no such file.
        PatronError: it cannot be used; says which action and setting, and what to do.
    """
    try:
        written = home.actions.read_bytes()
    except FileNotFoundError as error:
        raise NothingThere(
            f"there are no actions in {home.actions}; `patron recommend --draft > {home.actions}` writes"
            " an example to change"
        ) from error
    except OSError as error:
        raise PatronError(f"{home.actions} cannot be read ({error})") from error
    return parse(written, str(home.actions))


def parse(written: bytes, place: str) -> Actions:
    """The actions of a file's content; ``place`` is named in errors."""
    try:
        said = tomllib.loads(written.decode())
        return Actions.model_validate(said)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PatronError(f"{place}: this is not a TOML file: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(dict.fromkeys(_said(e, said) for e in error.errors()))
        raise PatronError(f"{place}: {wrong}") from error


def _said(error: Any, file: Mapping[str, Any]) -> str:
    """Where and what: the action by its name, the setting, and what it is to be."""
    places = list(error["loc"])
    where = []
    if places[:1] == ["actions"] and len(places) > 1:
        number = places[1]
        entry = file["actions"][number]
        name = entry.get("name") if isinstance(entry, dict) else None
        where = [f"action {name}" if isinstance(name, str) else f"action number {number + 1}"]
        places = places[2:]
    elif places[:1] == ["actions"] and error["type"] in {"missing", "too_short"}:
        return "there is no action; add a section [[actions]]"
    setting = ".".join(str(place + 1) if isinstance(place, int) else place for place in places)
    meaning = _MEANINGS.get(places[-1] if places else "")
    told = meant(error)
    if error["type"] == "missing" or (meaning and error["type"] != "value_error"):
        told += f": {meaning}" if meaning else "; add it"
    return ": ".join([*where, *([setting] if setting else []), told])


def _close(name: str) -> str:
    found = difflib.get_close_matches(name, FEATURES, n=3)
    return f"did you mean {' or '.join(found)}?" if found else "`patron features` lists them"


_MEANINGS: dict[Any, str] = {
    name: field.description
    for section in (Effect, Action, Actions)
    for name, field in section.model_fields.items()
    if field.description
}
