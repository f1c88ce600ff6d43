"""Actions as TOML: what a file says is what counts, and what is wrong in it is said by action and setting."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from core.declarations import traits
from core.errors import NothingThere, PatronError
from core.home import Home
from core.shop import Clock, Shop
from decisions.catalogue import file
from decisions.catalogue.actions import EXAMPLE, Action, Actions
from decisions.catalogue.texts import text_in, texts
from decisions.reasons import DecisionReason
from decisions.rules.conditions import TargetCondition
from decisions.rules.evaluation import RuleInput, mismatch
from decisions.values.formulas import FORMULAS

HEAD = "margin = 0.4\ncontrol_share = 0.1\nexploration_share = 0.05\n"
COUPON = """
[[actions]]
name = "coupon"
channel = "email"
cost = 0.1
effect = { on = "propensity", times = 1.2 }
"""


def parse(text: str) -> Actions:
    return file.parse(text.encode(), "actions.toml")


def refused(text: str) -> str:
    with pytest.raises(PatronError) as error:
        parse(text)
    message = str(error.value)
    assert message.startswith("actions.toml: ")
    assert "\n" not in message
    return message


def test_the_example_can_be_used_and_shows_every_setting() -> None:
    example = parse(EXAMPLE.read_text(encoding="utf-8"))
    assert {action.effect.on for action in example.actions} == {"propensity", "churn"}
    assert all(set(action.text) == {"en", "zh"} for action in example.actions)
    text = EXAMPLE.read_text(encoding="utf-8")
    for section in (Actions, Action, TargetCondition):
        assert {name for name in section.model_fields if not re.search(rf"\b{name}\b", text)} == set()


def test_a_file_is_read_as_it_stands(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(NothingThere, match=r"no actions in .*actions\.toml; `patron recommend --draft > "):
        file.load(home)
    home.actions.write_text(HEAD + COUPON)
    read = file.load(home)
    (coupon,) = read.actions
    assert (read.margin, read.control_share, read.exploration_share) == (0.4, 0.1, 0.05)
    assert (coupon.name, coupon.channel, coupon.cost, coupon.discount) == ("coupon", "email", 0.1, 0.0)
    assert (coupon.repeat_after_days, coupon.who, coupon.text) == (1, (), {})
    home.actions.unlink()
    home.actions.mkdir()
    with pytest.raises(PatronError, match=r"actions\.toml cannot be read"):
        file.load(home)


def test_the_digest_is_of_what_a_file_says_and_not_of_how() -> None:
    other = COUPON.replace('"coupon"', '"a_call"')
    one, same = parse(HEAD + COUPON + other), parse("# a note\n" + HEAD + other + "\n\n" + COUPON)
    assert one.digest == same.digest
    assert [action.name for action in same.actions] == ["a_call", "coupon"]
    assert (
        len({one.digest, parse(HEAD + COUPON).digest, parse(HEAD + COUPON.replace("0.1", "0.2")).digest}) == 3
    )


def test_a_text_is_given_in_the_language_asked_for_or_the_one_there_is() -> None:
    by_action = texts(parse(HEAD + COUPON + 'text = { zh = "九折" }').canonical)
    assert text_in("zh", by_action["coupon"], "coupon") == "九折"
    assert text_in("en", by_action["coupon"], "coupon") == "九折"
    assert text_in("en", {}, "coupon") == "coupon"
    assert text_in("zh", by_action["nothing"], "nothing") == "不联系"


def with_(changed: str, instead: str) -> str:
    assert changed in COUPON
    return HEAD + COUPON.replace(changed, instead)


def who(condition: str) -> str:
    return HEAD + COUPON + f"who = [{condition}]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("margin = = 1", r"not a TOML file: .* line 1, column"),
        (HEAD, r"there is no action; add a section \[\[actions\]\]"),
        (HEAD + "actions = []", r"there is no action"),
        (HEAD + "actions = [3]", r"action number 1: "),
        (COUPON, r"margin: this is missing: a share of the revenue.*; exploration_share"),
        ((HEAD + COUPON).replace("0.4", "nan"), r"margin: .* finite number: a share of the revenue"),
        ((HEAD + COUPON).replace("0.4", "40"), r"margin: .* less than or equal to 1"),
        ((HEAD + COUPON).replace("0.4", "0"), r"margin: .* greater than 0"),
        ((HEAD + COUPON).replace("0.05", "-0.05"), r"exploration_share: .* from 0 to 1"),
        ((HEAD + COUPON).replace("0.1\nexp", "0.6\nexp"), r"control_share: .* from 0 to 0.5"),
        (HEAD + "colour = 1" + COUPON, r"colour: there is no such setting"),
        (with_("cost = 0.1", "cost = -1"), r"action coupon: cost: .* equal to 0: currency per"),
        (with_("cost = 0.1", "cost = nan"), r"action coupon: cost: .* finite number"),
        (with_("cost = 0.1", "cost = inf"), r"action coupon: cost: .* finite number"),
        (with_("cost = 0.1", 'cost = "0.1"'), r"action coupon: cost: .* valid number"),
        (with_("cost = 0.1", "cost = true"), r"action coupon: cost: .* valid number"),
        (with_("cost = 0.1", ""), r"action coupon: cost: this is missing: currency per contact"),
        (with_("cost = 0.1", "cost = 1\ndiscount = 10"), r"action coupon: discount: .* from 0 to 1"),
        (with_("cost = 0.1", "cost = 1\ndiscout = 0.1"), r"action coupon: discout: there is no such setting"),
        (with_("cost = 0.1", "cost = 1\nrepeat_after_days = 0"), r"repeat_after_days: .* from 1 to 3650"),
        (with_("cost = 0.1", "cost = 1\nrepeat_after_days = 1.5"), r"repeat_after_days: .* whole days"),
        (with_("cost = 0.1", 'cost = 1\ntext = { fr = "dix" }'), r"action coupon: text\.fr"),
        (with_('"coupon"', '"nothing"'), r"action nothing: doing nothing is always among the options"),
        (with_('"coupon"', '"10 % off"'), r"action 10 % off: name: .*a-z, 0-9"),
        (with_('"coupon"', "7"), r"action number 1: name: .*a-z, 0-9"),
        (with_('"email"', '"none"'), r"action coupon: the channel name none is reserved for doing nothing"),
        (HEAD + COUPON + COUPON, r"there are two actions coupon; rename one of them"),
        (with_('effect = { on = "propensity", times = 1.2 }', ""), r"action coupon: effect: this is missing"),
        (with_(", times = 1.2", ""), r"action coupon: effect: the effect changes nothing; give it times"),
        (with_("times = 1.2", "times = -1"), r"action coupon: effect.times: .* a factor, from 0 to 100"),
        (with_("times = 1.2", "plus = 2"), r"action coupon: effect.plus: .* from -1 to 1"),
        (with_('"propensity"', '"chrun"'), r"effect.on: an effect cannot be on 'chrun'; it is on prop"),
        (with_('"propensity"', '"clv"'), r"effect.on: an effect cannot be on 'clv'"),
        (
            who('{ feature = "recency_day", at_least = 3 }'),
            r"action coupon: who.1.feature: there is no feature 'recency_day'; did you mean recency_days",
        ),
        (who('{ feature = "zzz", at_least = 3 }'), r"no feature 'zzz'; `patron features` lists them"),
        (who('{ feature = "recency_days" }'), r"who.1: say equals, or one_of, or at_least and at_most"),
        (who('{ feature = "country", equals = "DE", one_of = ["AT"] }'), r"who.1: say equals, or one_of"),
        (who('{ feature = "country", one_of = [] }'), r"who.1.one_of: .* at least 1 item"),
        (who('{ feature = "country", at_least = 3 }'), r"who.1: country is a text, so it cannot be compared"),
        (who('{ feature = "country", equals = true }'), r"who.1: country is a text"),
        (who('{ feature = "newsletter", equals = 1 }'), r"who.1: newsletter is true or false"),
        (who('{ feature = "orders_total", equals = true }'), r"who.1: orders_total is a number"),
        (who('{ feature = "orders_total", one_of = [1, "2"] }'), r"who.1: orders_total is a number"),
        (who('{ feature = "orders_total", equals = 2020-01-01 }'), r"who.1.equals: use a text, a number"),
        (who('{ feature = "orders_total", at_least = 9, at_most = 3 }'), r"at_least 9 is above at_most 3"),
        (who('{ feature = "orders_total", at_least = nan }'), r"who.1.at_least: .* finite number"),
    ],
)  # fmt: skip
def test_errors_name_the_action_and_the_setting(text: str, words: str) -> None:
    assert re.search(words, refused(text)), refused(text)


def test_conditions_read_the_traits_that_the_home_declares(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write_shop(Shop("live", "UTC", "EUR", Clock()))
    text = who('{ feature = "trait_vip", equals = true }')
    home.actions.write_text(text)
    with pytest.raises(PatronError, match="there is no feature 'trait_vip'"):
        file.load(home)
    declared = traits.parse({"vip": {"kind": "flag"}, "points": {"kind": "number"}})
    home.write_shop(replace(home.shop(), traits=declared))
    actions = file.load(home)
    assert actions.features == ("trait_vip",)
    assert file.restore(actions.canonical, home) == actions
    home.actions.write_text(who('{ feature = "trait_vips", equals = true }'))
    with pytest.raises(PatronError, match="did you mean trait_vip"):
        file.load(home)
    home.actions.write_text(who('{ feature = "trait_points", equals = "many" }'))
    with pytest.raises(PatronError, match="trait_points is a number"):
        file.load(home)


def test_an_effect_of_an_unknown_kind_is_refused_with_the_action_the_kind_and_those_there_are() -> None:
    assert refused(with_('"propensity"', '"visits"')) == (
        "actions.toml: action coupon: effect.on: an effect cannot be on 'visits';"
        " it is on propensity, churn, leads, subscription_churn or category"
    )


def test_an_effect_can_be_of_every_kind_that_has_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMULAS, "visits", FORMULAS["propensity"])
    assert parse(with_('"propensity"', '"visits"')).actions[0].effect.on == "visits"


def test_a_file_that_is_not_text_is_refused() -> None:
    with pytest.raises(PatronError, match=r"actions\.toml: this is not a TOML file"):
        file.parse(b"\xff\xfe\x00", "actions.toml")


def test_a_cost_beyond_anyones_worth_is_legal() -> None:
    assert parse(with_("cost = 0.1", "cost = 999999")).actions[0].cost == 999_999


@pytest.mark.parametrize(
    ("condition", "inside", "outside", "words"),
    [
        ('equals = "DE"', "DE", "AT", "country is AT and must be DE"),
        ('one_of = ["DE", "AT"]', "AT", "CH", "country is CH and must be one of DE, AT"),
        ("equals = true", True, False, "newsletter is no and must be yes"),
        ("equals = 3", 3, 4, "orders_total is 4 and must be 3"),
        ("at_least = 60", 60, 12, "orders_total is 12 and must be at least 60"),
        ("at_most = 1.5", 1.5, 2, "orders_total is 2 and must be at most 1.5"),
        ("at_least = 1, at_most = 3", 3, 4, "orders_total is 4 and must be at most 3"),
    ],
)
def test_a_condition_lets_in_what_it_says(
    condition: str, inside: object, outside: object, words: str
) -> None:
    feature = words.split()[0]
    matcher = TargetCondition.model_validate(
        tomllib.loads(f"who = {{ feature = '{feature}', {condition} }}")["who"]
    )

    def why_not(facts: dict[str, object]) -> DecisionReason | None:
        return mismatch(matcher.rule, RuleInput(facts, {}, 0, 0))

    assert why_not({feature: inside}) is None
    why = why_not({feature: outside})
    assert why is not None
    assert why.words("en") == words
    for missing in ({}, {feature: None}, {feature: float("nan")}):
        why = why_not(missing)
        assert why is not None
        assert why.words("en") == f"{feature} is not known"
        assert why.words("zh").endswith("未知")
        assert feature not in why.words("zh")
