"""The value horizon, by hand, and one path for one customer and for many."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisions.catalogue.actions import Action, Actions
from decisions.context import CustomerContext, ScoreInput
from decisions.policy import recommend
from decisions.values.effects import Effect
from decisions.values.formulas import features_read
from decisions.values.inputs import ValueInputs, inputs_of
from decisions.values.valuation import Valuer

SALT = b"salt of the tests"


def rules(effect: Effect, discount: float = 0.0, **more: object) -> Actions:
    action = Action(name="a", channel="email", cost=0.0, discount=discount, effect=effect)
    settings = {"margin": 0.4, "exploration_share": 0.0, "actions": (action,)}
    return Actions.model_validate(settings | more)


def customer(**facts: float) -> CustomerContext:
    scores = {
        "propensity": ScoreInput(0.36, None, "1", 60),
        "churn": ScoreInput(0.5, None, "1", 180),
        "clv": ScoreInput(200.0, None, "1", 360),
        "subscription_churn": ScoreInput(0.5, None, "1", 60),
    }
    return CustomerContext(1, scores, {"average_order_value": 50.0} | facts)


K30 = -math.log(0.8) / 0.2  # orders of a customer who orders within 30 days, with a propensity of 0.2
K60 = -math.log(0.64) / 0.36


def value(rules: Actions, who: CustomerContext) -> float:
    valuer = Valuer(rules)
    return float(valuer.values(inputs_of(who, valuer.features)).value[0, 0])


def test_a_probability_is_converted_to_a_shorter_horizon_by_a_constant_hazard() -> None:
    effect = Effect(on="propensity", plus=0.15)
    # 0.36 and 0.51 within 60 days are 0.2 and 0.3 within 30.
    assert value(rules(effect, value_horizon_days=30), customer()) == pytest.approx(K30 * 0.1 * 20)
    assert value(rules(effect, value_horizon_days=90), customer()) == pytest.approx(K60 * 0.15 * 20)
    with_discount = rules(effect, discount=0.1, value_horizon_days=30)
    assert value(with_discount, customer()) == pytest.approx(K30 * (0.1 * 20 - 0.3 * 5))


def test_orders_brought_forward_add_nothing_and_still_get_the_discount() -> None:
    moved = rules(Effect(on="propensity", plus=0.1), discount=0.1, brought_forward_share=0.5)
    assert value(moved, customer()) == pytest.approx(K60 * (0.05 * 20 - 0.46 * 5))
    off = moved.model_copy(update={"factors_off": ("brought_forward", "discounts")})
    assert value(off, customer()) == pytest.approx(K60 * 0.1 * 20)


def test_actions_on_churn_count_within_the_same_horizon() -> None:
    effect = Effect(on="churn", plus=-0.1)
    # Who stays brings 400 in 360 days.
    for days in (30, 90, 360):
        assert value(rules(effect, value_horizon_days=days), customer()) == pytest.approx(
            0.1 * 0.4 * 400 * days / 360
        )
    # The offer lasts the 180 days of churn.
    given_away = rules(effect, discount=0.1, value_horizon_days=360)
    assert value(given_away, customer()) == pytest.approx(0.1 * 0.4 * 400 - 0.6 * 0.1 * 200)


def test_a_subscription_is_paid_until_it_ends() -> None:
    subscriber = customer(subscription_monthly_amount=365.25 / 12)  # 1 a day
    without, with_effect = -math.log(0.5) / 60, -math.log(0.75) / 60

    def paid(hazard: float, days: float) -> float:
        return (1 - math.exp(-hazard * days)) / hazard

    during = paid(with_effect, 60)
    later = 0.75 * paid(without, 30)
    halved = rules(Effect(on="subscription_churn", times=0.5), discount=0.1)
    expected = 0.4 * (during + later - paid(without, 90)) - 0.1 * during
    assert value(halved, subscriber) == pytest.approx(expected)
    (refused,) = recommend(customer(), halved, 19_844, SALT).not_offered
    assert refused.why[0].words("en").startswith("no monthly amount")


EFFECT = st.builds(
    Effect,
    on=st.sampled_from(["propensity", "churn", "leads", "subscription_churn", "category"]),
    times=st.floats(0, 3),
    plus=st.floats(-0.2, 0.2),
)
ACTION = st.builds(
    Action,
    name=st.from_regex(r"[a-m][a-z]{0,4}", fullmatch=True),
    channel=st.just("email"),
    cost=st.floats(0, 50),
    cost_per_acceptance=st.floats(0, 5),
    discount=st.floats(0, 1),
    lever=st.floats(0.1, 5),
    effect=EFFECT,
)
CATALOGUE = st.builds(
    Actions,
    margin=st.floats(0.01, 1),
    exploration_share=st.just(0.0),
    value_horizon_days=st.integers(1, 400),
    brought_forward_share=st.floats(0, 1),
    first_order_value=st.one_of(st.none(), st.floats(1, 100)),
    actions=st.lists(ACTION, min_size=1, max_size=5, unique_by=lambda a: a.name).map(tuple),
)
MODELS = ("propensity", "churn", "leads", "subscription_churn", "category")
ROWS = st.lists(
    st.fixed_dictionaries(
        {name: st.one_of(st.none(), st.floats(0, 1)) for name in MODELS}
        | {
            name: st.one_of(st.none(), st.floats(0, 1e4))
            for name in (
                "clv",
                "average_order_value",
                "subscription_monthly_amount",
                "category_order_value",
            )
        }
    ),
    min_size=1,
    max_size=6,
)
HORIZONS = {"propensity": 30, "churn": 180, "leads": 60, "subscription_churn": 60, "clv": 365, "category": 30}


@given(CATALOGUE, ROWS)
def test_many_customers_have_the_values_of_each_alone(
    catalogue: Actions, rows: list[dict[str, float | None]]
) -> None:
    def column(name: str) -> np.ndarray:
        return np.array([np.nan if row[name] is None else row[name] for row in rows], np.float64)

    together = Valuer(catalogue).values(
        ValueInputs(
            len(rows),
            {name: column(name) for name in HORIZONS},
            HORIZONS,
            {name: column(name) for name in features_read()},
        )
    )
    for place, row in enumerate(rows):
        scores = {n: ScoreInput(row[n], "no_category_orders", "1", days) for n, days in HORIZONS.items()}
        who = CustomerContext(1, scores, {name: row[name] for name in features_read()})
        answer = recommend(who, catalogue, 19_844, SALT)
        alone = {o.action: o for o in (answer.chosen, *answer.runners_up) if o.action != "nothing"}
        for index, action in enumerate(catalogue.actions):
            known = not np.isnan(together.value[index, place])
            if action.name in alone:
                option = alone[action.name]
                assert option.value == pytest.approx(together.value[index, place], rel=1e-12, abs=1e-12)
                assert option.priority == pytest.approx(together.priority[index, place], rel=1e-12, abs=1e-12)
            else:
                (refused,) = (o for o in answer.not_offered if o.action == action.name)
                assert not known or refused.why[0].code == "harmful"


def test_a_file_without_the_newer_settings_keeps_its_digest() -> None:
    older = rules(Effect(on="propensity", times=1.2)).canonical
    assert "value_horizon_days" not in older
    assert "lever" not in older
    assert rules(Effect(on="propensity", times=1.2), value_horizon_days=30).canonical != older


def test_an_effect_on_a_category_is_worth_what_orders_of_the_category_bring() -> None:
    tea = rules(Effect(on="category", category="Tea", plus=0.1), discount=0.1)
    who = customer(**{"category_order_value:Tea": 30.0})
    assert recommend(who, tea, 19_844, SALT).not_offered[0].why[0].code == "no_category_model"
    scores = {**who.scores, "category:Tea": ScoreInput(0.2, None, "1", 30)}
    (option,) = recommend(dataclasses.replace(who, scores=scores), tea, 19_844, SALT).runners_up
    assert option.action == "nothing"
    assert value(tea, dataclasses.replace(who, scores=scores)) == pytest.approx(K30 * (0.1 * 12 - 0.3 * 3))
    chosen = recommend(dataclasses.replace(who, scores=scores), tea, 19_844, SALT).chosen
    assert [why.words("en") for why in chosen.why][:2] == [
        "probability of an order of Tea 20.0% → 30.0%, an assumed effect",
        "a customer who orders of the category brings 33.47 from it on average,"
        " of which 40% is left and 10% given away",
    ]
    assert chosen.why[0].words("zh") == "“Tea”下单概率 20.0% → 30.0%（假定效果）"


def test_a_customer_who_surely_orders_counts_as_one_who_probably_does() -> None:
    sure = customer()
    sure = dataclasses.replace(sure, scores={"propensity": ScoreInput(1.0, None, "1", 30)})
    coupon = rules(Effect(on="propensity", times=1.0), discount=0.1, value_horizon_days=30)
    assert value(coupon, sure) == pytest.approx(-5 * -math.log(0.05) / 0.95)


def test_only_an_effect_on_a_category_names_one() -> None:
    with pytest.raises(ValueError, match="category belongs to effects on 'category'"):
        Effect(on="propensity", category="Tea", times=1.2)
