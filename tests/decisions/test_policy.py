"""The policy: what an action is worth, who is offered it, and with which probability it is chosen."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PatronError
from decisions.catalogue.actions import Action, Actions
from decisions.catalogue.channels import Channel
from decisions.checks import CHECKS, STAGES
from decisions.context import CustomerContext, ScoreInput
from decisions.draws import uniform
from decisions.holdout import draw
from decisions.policy import recommend
from decisions.recommendation import Recommendation
from decisions.rules.conditions import TargetCondition
from decisions.values.effects import Effect
from decisions.values.formulas import FORMULAS, Change, Formula, Terms
from decisions.values.inputs import ValueInputs

DAY = 19_844  # 2024-05-01
SALT = b"salt of the tests"
MARGIN = 0.4
K = -math.log(0.7) / 0.3  # the orders of a customer who orders, with a propensity of 0.3


def action(name: str = "coupon", channel: str = "email", cost: float = 0.1, **more: Any) -> Action:
    return Action(
        name=name, channel=channel, cost=cost, **{"effect": Effect(on="propensity", times=1.5)} | more
    )


def actions(*those: Action, exploration: float = 0.0, **more: Any) -> Actions:
    settings = {"first_order_value": 40.0, "max_exploration_loss": 1e9} | more
    return Actions(margin=MARGIN, exploration_share=exploration, actions=those, **settings)


def customer(key: int = 1, **changed: Any) -> CustomerContext:
    scores = {
        "propensity": ScoreInput(0.3, None, "1", 30),
        "churn": ScoreInput(0.5, None, "2", 180),
        "clv": ScoreInput(200.0, None, "3", 360),
        "leads": ScoreInput(0.1, None, "4", 60),
    }
    facts = {"average_order_value": 50.0, "orders_total": 4, "newsletter": True, "country": "DE"}
    return CustomerContext(**{"key": key, "scores": scores, "facts": facts} | changed)


def why_not(recommendation: Recommendation, name: str) -> str:
    (option,) = [o for o in (*recommendation.runners_up, *recommendation.not_offered) if o.action == name]
    (why,) = option.why
    return why.words("en")


# What an action is worth


@pytest.mark.parametrize(
    ("given_", "value"),
    [
        # 50 an order, of which 0.4 is left: 20. From 0.3 to 0.45 brings 3, less the cost.
        (action(cost=0.25), K * (0.45 * 20 - 0.3 * 20) - 0.25),
        # The discount is paid on all orders: 15 is left of each.
        (action(discount=0.1, cost=0.25), K * (0.45 * 15 - 0.3 * 20) - 0.25),
        (action(effect=Effect(on="propensity", plus=0.02)), K * 0.02 * 20 - 0.1),
        (action(effect=Effect(on="propensity", times=100)), K * 0.7 * 20 - 0.1),  # not above 1
        # Who stays brings 200 / (1 − 0.5) = 400 in 360 days, a quarter of it in the 90 days that count.
        (action(effect=Effect(on="churn", times=0.8), cost=2), 0.1 * 0.4 * 100 - 2),
        (
            action(effect=Effect(on="churn", times=0.8), discount=0.1, cost=2),
            0.1 * 0.4 * 100 - 0.6 * 0.1 * 100 - 2,
        ),
        # Whoever orders uses the gift, which costs 2.
        (action(cost=0.25, cost_per_acceptance=2), K * 0.15 * 20 - 0.25 - 0.45 * 2),
        # A prospect's first order is worth 40, of which 16 is left.
        (action(effect=Effect(on="leads", plus=0.05)), 0.05 * 16 - 0.1),
    ],
)
def test_an_action_is_worth_the_change_of_the_margin_less_its_costs(given_: Action, value: float) -> None:
    recommendation = recommend(customer(), actions(given_), DAY, SALT)
    (option,) = [o for o in (recommendation.chosen, *recommendation.runners_up) if o.action == "coupon"]
    assert option.value == pytest.approx(value, abs=1e-12)
    assert recommendation.chosen.action == ("coupon" if value > 0 else "nothing")


def test_who_is_all_but_lost_is_not_worth_any_amount() -> None:
    lost = customer(
        scores={"churn": ScoreInput(1.0, None, "1", 180), "clv": ScoreInput(10.0, None, "1", 360)}
    )
    recommendation = recommend(lost, actions(action(effect=Effect(on="churn", times=0.9), cost=0)), DAY, SALT)
    assert recommendation.chosen.value == pytest.approx(0.1 * 0.4 * 10 / 0.05 / 4)


def test_the_best_is_chosen_and_of_two_alike_the_cheaper_then_the_first_by_name() -> None:
    three = [action("b", cost=0.2), action("a", cost=0.2), action("dear", cost=0.3)]
    recommendation = recommend(customer(), actions(*three), DAY, SALT)
    assert (recommendation.chosen.action, recommendation.how, recommendation.probability) == (
        "a",
        "best",
        1.0,
    )
    assert [option.action for option in recommendation.runners_up] == ["b", "dear", "nothing"]
    worthless = action("free", cost=0, effect=Effect(on="propensity", times=1.0))
    assert recommend(customer(), actions(worthless), DAY, SALT).chosen.action == "free"  # f comes before n
    costs = worthless.model_copy(update={"cost": 1e-9})
    assert recommend(customer(), actions(costs), DAY, SALT).chosen.action == "nothing"


def test_the_chosen_one_says_what_decided() -> None:
    recommendation = recommend(
        customer(), actions(action(discount=0.1, effect=Effect(on="propensity", plus=0.2))), DAY, SALT
    )
    assert [why.words("en") for why in recommendation.chosen.why] == [
        "propensity 0.3 → 0.5, an assumed effect",
        "a customer who orders brings 59.45 on average, of which 40% is left and 10% given away",
        "brings 1.78 within 90 days and costs 0.10",
    ]
    assert "假定效果" in recommendation.chosen.why[0].words("zh")


def test_each_kind_of_effect_is_valued_by_its_own_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    def flat(inputs: ValueInputs, terms: Terms) -> Change:
        sevens = np.full((len(terms.times), inputs.size), 7.0)
        return Change(sevens, 0 * sevens, 0 * sevens, sevens[0])

    visits = Formula(flat, model="visits", improves=1, basis="order_value", models=("visits",))
    monkeypatch.setitem(FORMULAS, "visits", visits)  # type: ignore[misc, arg-type]
    recommendation = recommend(
        customer(scores={"visits": ScoreInput(0.1)}),
        actions(action(effect=Effect(on="visits", times=2), cost=2)),
        DAY,
        SALT,
    )
    assert recommendation.chosen.value == 5.0
    assert recommendation.chosen.why[0].words("en") == "visits 0.1 → 0.2, an assumed effect"


def test_an_effect_without_a_formula_is_refused_and_not_valued_by_another() -> None:
    unknown = action().model_copy(update={"effect": Effect.model_construct(on="visits", times=2.0)})
    rules = actions(action("call")).model_copy(update={"actions": (unknown,)})
    with pytest.raises(PatronError) as error:
        recommend(customer(), rules, DAY, SALT)
    assert str(error.value) == (
        "action coupon: an effect cannot be on 'visits'; it is on propensity, churn, leads,"
        " subscription_churn or category"
    )


# Who is not offered it, and why


def test_each_action_that_is_not_chosen_says_why() -> None:
    old = TargetCondition(feature="orders_total", at_least=60)
    rules = actions(
        action("best"),
        action("less", cost=0.2),
        action("loss", cost=9),
        action("rare", repeat_after_days=30),
        action("shy", who=(TargetCondition(feature="newsletter", equals=True), old)),
        action("phoned", channel="phone"),
    )
    recommendation = recommend(customer(days_since={"rare": 9}), rules, DAY, SALT, channels=["email"])
    assert recommendation.chosen.action == "best"
    assert why_not(recommendation, "less") == "worth 3.37, not more than 3.47 of best"
    assert why_not(recommendation, "loss") == "costs more than it brings: −5.43"
    assert why_not(recommendation, "nothing") == "worth 0.00, not more than 3.47 of best"
    assert why_not(recommendation, "rare") == "chosen 9 days ago and at most every 30 days"
    assert why_not(recommendation, "shy") == "orders_total is 4 and must be at least 60"
    assert why_not(recommendation, "phoned") == "channel not asked for"
    assert [o.action for o in recommendation.not_offered] == ["phoned", "rare", "shy"]
    assert {o.value for o in recommendation.not_offered} == {None}
    stages = {o.action: o.stage for o in (*recommendation.runners_up, *recommendation.not_offered)}
    assert {n: s for n, s in stages.items() if s} == {
        "phoned": "eligible",
        "rare": "within_limits",
        "shy": "eligible",
    }


def test_the_checks_run_in_the_order_of_the_funnel() -> None:
    stages = [STAGES.index(check.stage) for check in CHECKS]
    assert stages == sorted(stages)


@pytest.mark.parametrize(("days", "offered"), [(0, False), (29, False), (30, True), (31, True)])
def test_an_action_is_repeated_no_sooner_than_it_may_be(days: int, offered: bool) -> None:
    rules = actions(action(repeat_after_days=30))
    recommendation = recommend(customer(days_since={"coupon": days}), rules, DAY, SALT)
    assert (recommendation.chosen.action == "coupon") is offered


def test_without_the_scores_it_needs_an_action_is_not_offered() -> None:
    rules = actions(action("on_p"), action("on_c", effect=Effect(on="churn", times=0.5)))
    refused = ScoreInput(None, "has not ordered yet")
    scores = {"propensity": refused, "churn": ScoreInput(0.4, None, "1", 180), "clv": refused}
    recommendation = recommend(customer(scores=scores), rules, DAY, SALT)
    assert recommendation.chosen.action == "nothing"
    assert why_not(recommendation, "on_p") == "no propensity score: has not ordered yet"
    assert why_not(recommendation, "on_c") == "no clv score: has not ordered yet"
    assert [why.words("en") for why in recommendation.chosen.why] == ["no action is permitted"]
    assert "no churn score" in why_not(recommend(customer(scores={}), rules, DAY, SALT), "on_c")
    recommendation = recommend(customer(facts={}), rules, DAY, SALT)
    assert why_not(recommendation, "on_p").startswith("no average order value")


def test_of_whom_nothing_is_known_gets_nothing_with_the_reason() -> None:
    recommendation = recommend(
        CustomerContext(1, {}, {}, unknown="no features yet"),
        actions(action(), exploration=1.0),
        DAY,
        SALT,
    )
    assert (recommendation.chosen.action, recommendation.probability) == ("nothing", pytest.approx(1))
    assert recommendation.chosen.why[0].words("en") == "no features yet"


def test_an_action_that_by_its_own_effect_does_harm_is_not_offered() -> None:
    rules = actions(
        action("worse", cost=0, effect=Effect(on="propensity", times=0.5)),
        action("drives_away", cost=0, effect=Effect(on="churn", plus=0.1)),
    )
    recommendation = recommend(customer(), rules, DAY, SALT)
    assert {o.action: o.stage for o in recommendation.not_offered} == {
        "drives_away": "suitable",
        "worse": "suitable",
    }
    assert "30.0% → 15.0%" in why_not(recommendation, "worse")


# Draws


@pytest.mark.parametrize(
    ("loss", "drawn"), [(None, {"best", "near"}), (1e9, {"best", "near", "dear", "nothing"}), (0, {"best"})]
)
def test_exploration_stays_within_the_declared_loss(loss: float | None, drawn: set[str]) -> None:
    rules = actions(
        action("best"),
        action("near", cost=1.1),
        action("dear", discount=0.95),
        exploration=1.0,
        max_exploration_loss=loss,
    )  # the average order is 50, so 2.50 may be lost if nothing is declared; nothing is 3.47 below
    answers = [recommend(customer(key), rules, DAY, SALT) for key in range(400)]
    assert {answer.chosen.action for answer in answers} == drawn
    permitted = {"best", "near", "dear", "nothing"}
    assert answers[0].probabilities == {
        name: pytest.approx((name in drawn) / len(drawn)) for name in permitted
    }


def test_a_lever_ranks_and_does_not_change_the_value() -> None:
    rules = actions(action("a"), action("b", cost=0.5, lever=2.0))
    answer = recommend(customer(), rules, DAY, SALT)
    assert (answer.chosen.action, answer.chosen.value) == ("b", pytest.approx(K * 3 - 0.5))
    assert answer.chosen.why[-1].words("en") == "ranked as 6.13 by its lever of 2"
    assert why_not(answer, "a") == "worth 3.47 and ranked as 3.47, not more than 6.13 of b"
    off = rules.model_copy(update={"factors_off": ("lever",)})
    assert recommend(customer(), off, DAY, SALT).chosen.action == "a"


RULES = actions(
    action("a"), action("b", cost=0.2), action("c", cost=99), action("d", who=(TargetCondition(
        feature="orders_total", at_least=99),)), exploration=0.3,
)  # fmt: skip


def test_the_shares_seen_are_the_probabilities_logged() -> None:
    recommendation = [recommend(customer(key), RULES, DAY, SALT) for key in range(8_000)]
    (expected,) = {tuple(sorted(f.probabilities.items())) for f in recommendation}
    assert dict(expected) == pytest.approx({"a": 0.7 + 0.3 / 4, "b": 0.075, "c": 0.075, "nothing": 0.075})
    seen, count = Counter(f.chosen.action for f in recommendation), len(recommendation)
    for name, probability in expected:
        deviation = math.sqrt(probability * (1 - probability) / count)
        assert abs(seen[name] / count - probability) < 4 * deviation, name
    how = Counter(f.how for f in recommendation)
    assert how["explored"] / count == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / count))
    assert set(how) == {"best", "explored"}
    assert {f.chosen.action for f in recommendation if f.how == "best"} == {"a"}


def test_draws_are_uniform_and_those_of_one_customer_independent_of_each_other() -> None:
    count, bins = 40_000, 20
    control = [draw(SALT, 1, key) for key in range(count)]
    explore = [uniform(SALT, "explore", key, "2024-05-01") for key in range(count)]
    for draws in (control, explore):
        assert all(0 <= draw < 1 for draw in draws)
        cells = Counter(int(draw * bins) for draw in draws)
        chi_square = sum((cells[i] - count / bins) ** 2 / (count / bins) for i in range(bins))
        assert chi_square < 43.8  # 19 degrees of freedom: one in a thousand is above
    pairs = Counter((int(a * 5), int(b * 5)) for a, b in zip(control, explore, strict=True))
    chi_square = sum((pairs[i, j] - count / 25) ** 2 / (count / 25) for i in range(5) for j in range(5))
    assert chi_square < 51.2  # 24 degrees of freedom
    assert uniform(SALT, "1", "23") != uniform(SALT, "12", "3")


def test_exploration_lasts_a_day() -> None:
    def explored(day: int, salt: bytes = SALT) -> set[int]:
        return {k for k in range(2000) if recommend(customer(k), RULES, day, salt).how == "explored"}

    assert explored(DAY) == explored(DAY)
    assert len(explored(DAY) & explored(DAY + 1)) / len(explored(DAY)) == pytest.approx(0.3, abs=0.08)
    assert explored(DAY, b"another salt") != explored(DAY)


def test_the_holdout_gets_nothing_and_what_it_would_have_got_is_known() -> None:
    for key in range(200):
        treated = recommend(customer(key), RULES, DAY, SALT)
        left_alone = recommend(customer(key, in_holdout=True), RULES, DAY, SALT)
        assert (left_alone.chosen.action, left_alone.how, left_alone.probability) == (
            "nothing",
            "holdout",
            1.0,
        )
        assert left_alone.withheld == treated.chosen.action
        assert treated.withheld is None
        assert left_alone.probabilities == {"a": 0.0, "b": 0.0, "c": 0.0, "nothing": 1.0}
    assert "holdout" in left_alone.chosen.why[0].words("en")
    assert "对照组" in left_alone.chosen.why[0].words("zh")


def test_the_holdout_gets_service_messages() -> None:
    channels = {"app": Channel(purpose="service")}
    notice, coupon = action("notice", channel="app", cost=0), action("coupon")
    rules = actions(notice, coupon, exploration=0.5, channels=channels)
    chosen: Counter[str] = Counter()
    for key in range(2000):
        treated = recommend(customer(key), rules, DAY, SALT)
        left_alone = recommend(customer(key, in_holdout=True), rules, DAY, SALT)
        chosen[left_alone.chosen.action] += 1
        if treated.chosen.action == "notice":
            assert left_alone.chosen.action == "notice"
            assert (left_alone.how, left_alone.withheld) == (treated.how, None)
        else:
            assert (left_alone.how, left_alone.chosen.action) == ("holdout", "nothing")
            assert left_alone.withheld == treated.chosen.action
    expected = left_alone.probabilities
    assert expected == pytest.approx({"notice": 0.5 + 0.5 / 3, "coupon": 0.0, "nothing": 0.5 * 2 / 3})
    assert chosen["notice"] / 2000 == pytest.approx(expected["notice"], abs=0.05)


# Properties

PROBABILITY = st.floats(0, 1)
SCORES = st.fixed_dictionaries(
    {
        "propensity": st.one_of(st.builds(ScoreInput, PROBABILITY), st.just(ScoreInput(None, "refused"))),
        "churn": st.one_of(
            st.builds(ScoreInput, PROBABILITY, horizon_days=st.integers(1, 400)),
            st.just(ScoreInput(None, "refused")),
        ),
        "clv": st.builds(ScoreInput, st.floats(0, 1e5), horizon_days=st.integers(1, 400)),
    }
)
EFFECTS = st.builds(
    Effect, on=st.sampled_from(["propensity", "churn"]), times=st.floats(0, 3), plus=st.floats(-0.2, 0.2)
)
ACTION = st.builds(
    Action,
    name=st.from_regex(r"[a-m][a-z]{0,4}", fullmatch=True),
    channel=st.sampled_from(["email", "phone"]),
    cost=st.floats(0, 50),
    discount=st.floats(0, 1),
    effect=EFFECTS,
    who=st.one_of(st.just(()), st.just((TargetCondition(feature="orders_total", at_least=3),))),
    repeat_after_days=st.integers(1, 40),
)
ACTIONS = st.lists(ACTION, min_size=1, max_size=6, unique_by=lambda a: a.name)
CUSTOMER = st.builds(
    CustomerContext,
    key=st.integers(1, 10**9),
    scores=SCORES,
    facts=st.fixed_dictionaries(
        {"average_order_value": st.one_of(st.none(), st.floats(0, 1e4)), "orders_total": st.integers(0, 6)}
    ),
    days_since=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 60)),
    in_holdout=st.booleans(),
)
SHARE = st.floats(0, 0.5)
CHANNELS = st.one_of(st.none(), st.sampled_from([["email"], ["phone"], ["email", "phone"]]))


@given(CUSTOMER, ACTIONS, SHARE, st.integers(0, 30_000), CHANNELS)
def test_probabilities_are_those_of_a_choice(
    who: CustomerContext, those: list[Action], exploration: float, day: int, channels: Any
) -> None:
    recommendation = recommend(who, actions(*those, exploration=exploration), day, SALT, channels)
    assert sum(recommendation.probabilities.values()) == pytest.approx(1)
    assert all(probability >= 0 for probability in recommendation.probabilities.values())
    assert recommendation.probability > 0
    permitted = [recommendation.chosen, *recommendation.runners_up]
    assert {o.action for o in permitted} == set(recommendation.probabilities)
    everyone = sorted(o.action for o in (*permitted, *recommendation.not_offered))
    assert everyone == sorted(["nothing", *(a.name for a in those)])
    assert all(o.why for o in (*recommendation.runners_up, *recommendation.not_offered))
    values = [o.value for o in recommendation.runners_up if o.value is not None]
    assert values == sorted(values, reverse=True)
    assert all(math.isfinite(value) for value in values)
    if recommendation.how == "best":
        assert all(recommendation.chosen.value >= value for value in values)  # type: ignore[operator]
        assert recommendation.probability == max(recommendation.probabilities.values())
    for option in recommendation.not_offered:
        assert all(why.words(language) for why in option.why for language in ("en", "zh"))  # type: ignore[arg-type]


@given(CUSTOMER, ACTIONS, SHARE, st.randoms(use_true_random=False))
def test_the_order_of_actions_in_the_file_does_not_matter(
    who: CustomerContext, those: list[Action], exploration: float, random: Any
) -> None:
    mixed = random.sample(those, len(those))
    one, other = (
        recommend(who, actions(*order, exploration=exploration), DAY, SALT) for order in (those, mixed)
    )
    assert one == other


@given(CUSTOMER, ACTIONS, SHARE, st.floats(0, 1e5), st.data())
def test_a_higher_cost_never_makes_an_action_more_likely(
    who: CustomerContext, those: list[Action], exploration: float, more: float, data: st.DataObject
) -> None:
    dearer = data.draw(st.sampled_from(those))
    changed = [a.model_copy(update={"cost": a.cost + more}) if a is dearer else a for a in those]
    before, after = (
        recommend(who, actions(*given_, exploration=exploration), DAY, SALT) for given_ in (those, changed)
    )
    if dearer.name in before.probabilities:
        assert after.probabilities[dearer.name] <= before.probabilities[dearer.name]
    assert not (after.chosen.action == dearer.name != before.chosen.action)


@given(CUSTOMER, ACTIONS)
def test_the_same_question_has_the_same_answer(who: CustomerContext, those: list[Action]) -> None:
    rules = actions(*those, exploration=0.2)
    assert recommend(who, rules, DAY, SALT) == recommend(dataclasses.replace(who), rules, DAY, SALT)
