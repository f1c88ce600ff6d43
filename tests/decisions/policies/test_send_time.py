"""The best hour of a customer: habits, quiet hours, nights when clocks change, and the preferred channel."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisions.catalogue.actions import Action, Actions
from decisions.catalogue.channels import Channel
from decisions.context import CustomerContext, ScoreInput
from decisions.policies.quiet_hours import is_quiet
from decisions.policies.send_time import best_time, planned_at
from decisions.policy import Recommendation, recommend
from decisions.values.effects import Effect
from features.offline.habit_profiles import HOUR_STRENGTH, HabitProfiles, smoothed

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = ("22:00", "08:00")
SALT = b"salt of the tests"


def peak(*hours: int) -> list[float]:
    """Shares with these hours first, the first of them most."""
    shares = [0.01] * 24
    for place, hour in enumerate(reversed(hours)):
        shares[hour] = 0.1 + 0.01 * place
    return shares


def berlin(year: int, month: int, day: int, hour: int, minute: int = 0, fold: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("at", "hours", "quiet", "expected"),
    [
        (berlin(2024, 5, 1, 9, 30), (19,), None, berlin(2024, 5, 1, 19)),
        (berlin(2024, 5, 1, 19, 30), (19,), None, berlin(2024, 5, 1, 19, 30)),  # it is that hour
        (berlin(2024, 5, 1, 20, 30), (19,), None, berlin(2024, 5, 2, 19)),
        (berlin(2024, 5, 1, 9, 30), (23, 20), NIGHT, berlin(2024, 5, 1, 20)),  # the best one is quiet
        (berlin(2024, 5, 1, 23, 30), (7, 8), NIGHT, berlin(2024, 5, 2, 8)),
        # 02:00 does not exist on 31 March, and comes twice on 27 October.
        (berlin(2024, 3, 30, 21), (2, 3), None, berlin(2024, 3, 31, 3)),
        (berlin(2024, 10, 26, 21), (2,), None, berlin(2024, 10, 27, 2)),
        (berlin(2024, 10, 27, 2, 30), (2,), None, berlin(2024, 10, 27, 2, 30)),
        # On days of 23 and 25 hours, the hour is that of the clocks.
        (berlin(2024, 3, 30, 20), (19,), None, berlin(2024, 3, 31, 19)),
        (berlin(2024, 10, 26, 18), (17,), None, berlin(2024, 10, 26, 18)),  # 17:00 is 24 hours away or more
    ],
)
def test_the_best_hour_is_the_most_active_one_of_a_day_outside_quiet_hours(
    at: datetime, hours: tuple[int, ...], quiet: Any, expected: datetime
) -> None:
    assert best_time(at, peak(*hours), quiet, BERLIN) == expected


@given(
    st.integers(0, 366 * 24 * 60),
    st.lists(st.floats(0, 1), min_size=24, max_size=24),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_it_is_within_a_day_and_never_quiet(minutes: int, shares: list[float], name: str) -> None:
    zone, moment = ZoneInfo(name), datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    planned = best_time(moment, shares, NIGHT, zone)
    assert moment <= planned < moment + timedelta(hours=24)
    assert not is_quiet(planned, NIGHT, zone)


def profiles(*rows: list[int]) -> HabitProfiles:
    usual = np.array(peak(19, 20, 18))
    return HabitProfiles(np.arange(1, len(rows) + 1), np.array(rows, np.uint16), usual / usual.sum(), {})


def at_hour(hour: int, days: int) -> list[int]:
    return [days if h == hour else 0 for h in range(24)]


def test_few_orders_hardly_move_the_hours_of_the_shop_and_many_do() -> None:
    known = profiles(at_hour(7, 3), at_hour(7, 60))
    usual = np.array(known.hours(99))
    assert usual == pytest.approx(known.usual)  # a customer without a past
    few, many = np.array(known.hours(1)), np.array(known.hours(2))
    assert np.abs(few - usual).sum() / 2 <= 3 / (3 + HOUR_STRENGTH)
    assert (few.argmax(), many.argmax()) == (19, 7)
    for shares in (usual, few, many):
        assert shares.sum() == pytest.approx(1)
    assert smoothed(np.array(at_hour(0, 4), float))[[23, 0, 1]].tolist() == [1, 2, 1]


def catalogue(**more: Any) -> Actions:
    those = [
        Action(name=f"by_{channel}", channel=channel, cost=0.1, effect=Effect(on="propensity", times=times))
        for channel, times in (("email", 1.5), ("push", 1.4))
    ]
    return Actions(margin=0.4, exploration_share=0.0, actions=tuple(those), **more)


def customer(**more: Any) -> CustomerContext:
    scores = {"propensity": ScoreInput(0.3, None, "1", 30)}
    return CustomerContext(1, scores, {"average_order_value": 50.0}, **more)


def decide(rules: Actions, **more: Any) -> Recommendation:
    return recommend(customer(**more), rules, 19_844, SALT)


def test_the_preferred_channel_ranks_first_is_shown_and_can_be_switched_off() -> None:
    assert decide(catalogue()).chosen.action == "by_email"
    preferred = decide(catalogue(), preferences={"push": 1.6, "email": 0.9})
    assert preferred.chosen.action == "by_push"
    assert preferred.chosen.value == decide(catalogue()).runners_up[0].value  # values stay
    assert preferred.chosen.factors["channel_preference"] == 1.6
    words = [why.words("en") for why in preferred.chosen.why]
    assert "responds to push 1.6 times as often as customers do on average" in words
    assert "对推送通知的响应率为平均水平的 160%" in [why.words("zh") for why in preferred.chosen.why]
    off = catalogue(factors_off=["channel_preference"])
    assert decide(off, preferences={"push": 1.6}).chosen.action == "by_email"


def test_an_action_is_planned_for_the_best_hour_but_not_after_its_last_day() -> None:
    at = datetime(2024, 5, 1, 20, 30, tzinfo=UTC)
    best = datetime(2024, 5, 2, 19, tzinfo=UTC)
    who = customer(at=at, best_times={"email": best})
    channel = Channel(send_time="best_hour")
    (email, push) = catalogue().actions
    assert planned_at(email, channel, who) == best
    assert planned_at(push, channel, who) == at
    assert planned_at(email.model_copy(update={"end": date(2024, 5, 1)}), channel, who) == at
    (*_, why) = recommend(who, catalogue(), 19_844, SALT).chosen.why
    assert why.words("en") == "planned for the hour from 19:00, the best one for this customer"


def test_a_channel_without_the_setting_keeps_its_canonical_form() -> None:
    assert "send_time" not in Channel().model_dump(mode="json")
    assert Channel(send_time="best_hour").model_dump(mode="json")["send_time"] == "best_hour"
