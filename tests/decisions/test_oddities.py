"""Files of actions that are wrong are refused with what to do; odd ones load with a warning."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from core.calendar import EPOCH
from core.errors import PatronError
from decisions.catalogue.actions import Actions
from decisions.catalogue.file import parse
from decisions.catalogue.oddities import CatalogueReview, review
from decisions.catalogue.oddity import Oddity
from decisions.everybody import Everybody

HEAD = "margin = 0.4\nholdout_share = 0.1\nexploration_share = 0.05\n"
TODAY = (date(2026, 12, 1) - EPOCH).days
TABLE = pa.table(
    {
        "customer_key": [1, 2, 3, 4],
        "value_tier": ["A", "B", None, "A"],
        "country": ["DE", "AT", "DE", None],
        "orders_total": [1, 4, 0, 7],
        "churn": pa.array([None] * 4, pa.float64()),
    }
)
EVERYBODY = Everybody(TABLE, datetime(2026, 12, 1, tzinfo=UTC), TODAY, TODAY, ("churn",))


def actions(action: str = "", head: str = "", effect: str = 'on = "propensity", times = 1.1') -> Actions:
    channel = "" if "channel" in action else 'channel = "email"\n'
    text = (
        f'{HEAD}{head}[[actions]]\nname = "reminder"\ncost = 0.05\n{channel}effect = {{ {effect} }}\n{action}'
    )
    return parse(text.encode(), "actions.toml")


def words(reviewed: CatalogueReview, language: str = "en") -> list[str]:
    return [oddity.words(language) for oddity in reviewed.oddities]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("catalogue", "english", "chinese"),
    [
        (actions("discount = 0.95"),
         "its discount of 95% is above the margin of 40%: every order loses money",
         "动作“reminder”：让利 95% 高于毛利率 40%，每单都亏损（目前 4 位客户中有 4 位符合）"),
        (actions('text = { en = "Hello" }'),
         "it has no text in zh; the text in another language is used",
         "动作“reminder”：缺少中文文本，将使用其他语言的文本（目前 4 位客户中有 4 位符合）"),
        (actions('channel = "emial"'),
         "no other action uses the channel emial; did you mean email?",
         "动作“reminder”：没有其他动作使用渠道“emial”；是否应为“email”？（目前 4 位客户中有 4 位符合）"),
        (actions('who = [{ feature = "value_tier", equals = "a" }]'),
         "no customer has the value a of value_tier; did you mean A?",
         None),
        (actions('who = [{ feature = "country", one_of = ["Germany"] }]'),
         "no customer has the value Germany of country; there are AT, DE",
         None),
        (actions('text = { en = "{discount} off", zh = "{discount}" }'),
         "its text has a discount that is not declared",
         None),
        (actions(effect='on = "propensity", times = 0.5'),
         "its effect is harmful: it is declared to lower propensity",
         None),
        (actions(effect='on = "churn", plus = 0.1'),
         "its effect is harmful: it is declared to raise churn",
         "动作“reminder”：设定的效果有害：会使流失概率升高（目前 4 位客户中有 4 位符合）"),
        (actions('rule = "orders_total <= 1 and orders_total >= 4"'),
         "its conditions contradict each other: orders_total cannot be both ≤ 1 & ≥ 4"
         "",
         "动作“reminder”：条件互相矛盾：累计下单不可能同时满足“≤ 1 次”和“≥ 4 次”"
         "（目前 4 位客户中有 0 位符合）"),
        (actions('rule = "country = DE and country in (AT, CH)"'), "cannot be both = DE & = AT, CH", None),
        (actions('rule = "orders_total > 20"'),
         "action reminder: nobody fits (0 of 4 customers fit now)",
         "动作“reminder”：没有符合条件的客户（目前 4 位客户中有 0 位符合）"),
        (actions('rule = "churn > 0.5"'), "it reads scores of churn", None),
        (actions("end = 2026-11-30"), "it ended on 2026-11-30", None),
        (actions(head='[[limits]]\nmax = 1\nper = "day"\nchannel = "sms"\n'),
         "no action is of the channel sms that a limit names", None),
    ],
)  # fmt: skip
def test_an_odd_catalogue_is_used_with_a_warning(
    catalogue: Actions, english: str, chinese: str | None
) -> None:
    reviewed = review(catalogue, TODAY, EVERYBODY)
    assert any(english in text for text in words(reviewed)), words(reviewed)
    assert chinese is None or chinese in words(reviewed, "zh")
    assert all(words(reviewed, "zh"))


def test_all_actions_over_is_an_oddity_of_the_catalogue() -> None:
    assert review(actions("end = 2026-11-30"), TODAY, None).oddities[-1] == Oddity("all_over")
    assert review(actions("end = 2026-12-01"), TODAY, None).oddities == ()


@pytest.mark.parametrize(
    "rule",
    [
        "orders_total >= 1 and orders_total <= 7",
        "orders_total > 0 or orders_total < 0",
        "country in (DE, AT) and country = DE",
        "orders_total >= 4 and orders_total <= 4",
        "orders_total >= 1 and orders_total > 3 and orders_total < 7.5",
        "orders_total = 4 and orders_total > 3",
    ],
)
def test_what_someone_can_satisfy_is_no_contradiction(rule: str) -> None:
    assert review(actions(f'rule = "{rule}"'), TODAY, EVERYBODY).oddities == ()


@pytest.mark.parametrize(
    "rule", ["orders_total > 4 and orders_total <= 4", "orders_total = 3 and orders_total > 3"]
)
def test_bounds_that_leave_nothing_are_a_contradiction(rule: str) -> None:
    (oddity,) = review(actions(f'rule = "{rule}"'), TODAY, EVERYBODY).oddities
    assert oddity.code == "contradiction"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[[actions]]\nname = "生日优惠券"', "'生日优惠券' is no code; use a-z, .* such as birthday_coupon"),
        ('[[actions]]\nname = "a"\nchannel = "微信"', "channel: '微信' is no code; .* or wechat. Names"),
        ("cost = 0,05", r"line 4, column 9\); write the number with a point: 0.05"),
        ("name = “reminder”", r"line 4, column 8\); use straight quotes"),
        ('name = "a"，', r"use half-width marks"),
        ('[[actions]]\nname = "a"\nrule = "chrun > 0.5"',
         "action a: rule: column 1: there is no feature 'chrun'; did you mean churn"),
        ('[audiences.vip]\nrule = "in audience vip"\n[[actions]]\nname = "a"\nchannel = "email"\ncost = 1\n'
         'effect = { on = "churn", times = 0.9 }', "audience vip refers to itself: vip → vip"),
        ('[channels.email]\nquiet_hours = ["22:00", "8"]', "email.quiet_hours.2: '8' is no time of day"),
        ("[channels.email]\nconsent = \"maybe\"", "channels.email.consent"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_the_place_and_what_to_do(content: str, message: str) -> None:
    with pytest.raises(PatronError) as error:
        parse((HEAD + content).encode(), "actions.toml")
    assert re.search(message, str(error.value)), str(error.value)
    assert "\n" not in str(error.value)


def test_dates_of_an_action_are_in_order() -> None:
    with pytest.raises(PatronError, match="it ends on 2026-11-30, before it starts on 2026-12-01"):
        actions("start = 2026-12-01\nend = 2026-11-30")


@pytest.mark.parametrize(
    ("encoding", "words"),
    [("gb18030", "but perhaps in GBK; save it in UTF-8"), ("utf-16", "but in UTF-16; save it")],
)
def test_another_encoding_is_named(encoding: str, words: str) -> None:
    with pytest.raises(PatronError, match=f"this is not a TOML file: line 1 is not in UTF-8, {words}"):
        parse('text = "您好，欢迎回来"'.encode(encoding), "actions.toml")


def test_a_byte_order_mark_is_no_mistake() -> None:
    text = (
        HEAD + '[[actions]]\nname = "a"\nchannel = "email"\ncost = 1\neffect = { on = "churn", times = 0.9 }'
    )
    assert parse(text.encode("utf-8-sig"), "actions.toml") == parse(text.encode(), "actions.toml")


def test_settings_that_are_not_used_leave_the_digest_as_it_was() -> None:
    assert '"rule"' not in actions().canonical
    assert actions().digest != actions('rule = "newsletter"').digest
    assert actions('rule = "NOT newsletter"').digest == actions('rule = "not  newsletter"').digest


def test_the_share_of_a_monthly_control_group_is_named_for_what_it_is_now() -> None:
    older = parse(
        (
            HEAD.replace("holdout", "control")
            + '[[actions]]\nname = "a"\nchannel = "email"\ncost = 1\ntext = { en = "A", zh = "甲" }\n'
            + 'effect = { on = "propensity", times = 1.1 }'
        ).encode(),
        "actions.toml",
    )
    (oddity,) = review(older, TODAY, None).oddities
    assert oddity.words("en").startswith("control_share is read as holdout_share")
    assert "长期对照组" in oddity.words("zh")
