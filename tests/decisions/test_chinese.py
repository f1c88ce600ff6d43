"""Decisions in Chinese: named features, units, percentages, full-width marks, no codes, no English."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from random import Random
from string import Formatter
from typing import Any

import pytest

from core.calendar import EPOCH
from decisions import chinese, reasons
from decisions.catalogue import oddity
from decisions.catalogue.actions import EXAMPLE
from decisions.catalogue.file import parse
from decisions.catalogue.texts import names_in
from decisions.context import CustomerContext, ScoreInput
from decisions.names.refusals import NO_ANSWER, refusal_in_chinese
from decisions.names.regions import country_in_chinese, currency_in_chinese
from decisions.policy import recommend
from decisions.results import words as results
from decisions.rules.conditions import rule_of
from decisions.rules.dates import CUSTOMER_DATES, FESTIVALS
from decisions.rules.evaluation import RuleInput, mismatch
from decisions.values.formulas import FORMULAS
from features.groups import FEATURES
from features.live.consent_statements import ChannelConsent
from models.questions import every, find
from models.registry.versions import why_none
from records.contacts.contact import MARKETING, SENT, Contact
from serving.files.layouts import layouts
from serving.scores.inference import DEFAULT, UNBUILT, UNKNOWN

NAMES = r"[ABCD] 级|RFM|Patron|external_userid"
"""What Chinese texts may have in Latin letters: value tiers, and names without a Chinese one."""
HALF_WIDTH = re.compile(r"[A-Za-z_`]|[\u4e00-\u9fff）”] ?[,;:?!()]|[,;:?!()] ?[\u4e00-\u9fff]")


def blemishes(text: str) -> list[str]:
    """Latin letters and half-width marks in a Chinese text."""
    return HALF_WIDTH.findall(re.sub(NAMES, "", text))


@pytest.mark.parametrize(
    ("rule", "facts", "text"),
    [
        ("recency_days >= 120", {"recency_days": 3}, "距上次下单 3 天（需满 120 天）"),
        ("recency_days <= 3", {"recency_days": 30}, "距上次下单 30 天（需不超过 3 天）"),
        ("orders_90d > 2", {"orders_90d": 1}, "近 90 天下单 1 次（需超过 2 次）"),
        ("not open_complaints", {"open_complaints": 3}, "未解决投诉 3 件（需为 0 件）"),
        ("newsletter", {"newsletter": False}, "未订阅邮件（需已订阅）"),
        ("not unsubscribed_email", {"unsubscribed_email": True}, "已退订邮件（需未退订）"),
        ("newsletter", {}, "是否已订阅邮件未知"),
        ("recency_days > 3", {}, "距上次下单天数未知"),
        ("churn > 50%", {"churn": 0.3}, "流失概率 30%（需高于 50%）"),
        ("churn > 50%", {}, "没有流失概率：尚未下单"),
        ("average_order_value >= 60", {"average_order_value": 1234.5}, None),
        ("average_order_value >= 60", {"average_order_value": 43.25}, "平均订单金额 43.25（需不低于 60）"),
        ("value_tier = A", {"value_tier": "B"}, "价值等级为 B 级（需为 A 级）"),
        ("value_tier in (A, B)", {"value_tier": "D"}, "价值等级为 D 级（需为 A 级、B 级之一）"),
        ("value_tier != D", {"value_tier": "D"}, "价值等级为 D 级（已排除）"),
        ("lifecycle_stage = loyal", {"lifecycle_stage": "at_risk"}, "生命周期阶段为流失风险（需为忠诚客户）"),
        ("clv is known", {}, "没有客户终身价值：模型没有给出结果"),
        ("spring_festival within 14 days", {}, "14 天内没有春节"),
        (
            "newsletter or orders_30d > 2",
            {"newsletter": False, "orders_30d": 1},
            "以下条件均不满足：未订阅邮件（需已订阅）；近 30 天下单 1 次（需超过 2 次）",
        ),
    ],
)  # fmt: skip
def test_a_reason_reads_as_chinese(rule: str, facts: dict[str, Any], text: str | None) -> None:
    scores = {"churn": ScoreInput(facts.pop("churn", None), "尚未下单")}
    why = mismatch(rule_of(rule), RuleInput(facts, scores, 19_000, 19_000))
    assert (why and why.words("zh")) == text


def test_every_feature_model_and_date_has_a_chinese_name() -> None:
    assert {*FEATURES, *every(), *FORMULAS} == {*chinese.FEATURES, *chinese.FLAGS}
    assert {"birthday", *CUSTOMER_DATES, *FESTIVALS} == {*chinese.DATES}
    for name, _ in chinese.FEATURES.values():
        assert not re.search("[A-Za-z_]", name)


def test_the_wording_of_every_reason_warning_and_result_is_chinese() -> None:
    for table in (reasons._WORDS, oddity._WORDS, results._WORDS):
        for code, (_, zh) in table.items():
            words = "".join(literal for literal, *_ in Formatter().parse(zh))
            assert blemishes(words) == [], code


def test_why_a_model_has_no_score_is_chinese() -> None:
    stated = [condition.otherwise for name in every() for condition in find(name).eligible]
    stated += [UNKNOWN, UNBUILT, DEFAULT, why_none("churn", []), "clv was never trained"]
    for reason in stated:
        assert refusal_in_chinese(reason) != NO_ANSWER, reason
        assert blemishes(refusal_in_chinese(reason)) == [], reason
    assert refusal_in_chinese("a reason of a later version") == NO_ANSWER
    assert (
        refusal_in_chinese("has no order in the last 90 days, so has lapsed")
        == "近 90 天未下单，已流失或从未下单"
    )


def test_headers_of_files_are_chinese() -> None:
    for target in ("spreadsheet", "zoho", "fxiaoke", "dynamics", "wecom"):
        for header in layouts()[target].headers("zh"):
            assert blemishes(header) == [], (target, header)


CATALOGUE = """
[[limits]]
max = 1
per = "week"
channel = "post"
[[limits]]
max = 1
per = "72h"
group = "grow"
[[suppressions]]
after = 1
of = "rejected"
within_days = 90
for_days = 30
[[actions]]
name = "first_order"
group = "welcome"
channel = "email"
cost = 0.1
text = { zh = "首单立减" }
rule = "known_days >= 3 and acquisition_channel != referral"
effect = { on = "leads", times = 1.5 }
[[actions]]
name = "renew_early"
channel = "sms"
cost = 0.1
text = { zh = "提前续订享优惠" }
rule = "not in audience valuable and (newsletter or renewal within 30 days)"
effect = { on = "subscription_churn", times = 0.5 }
[[actions]]
name = "warned"
channel = "wechat"
cost = 0.1
text = { zh = "会员日" }
lever = 2.0
effect = { on = "churn", times = 1.2 }
"""


def random_customer(random: Random, key: int) -> CustomerContext:
    """A customer with some scores, facts, contacts and refusals."""
    refusals = [condition.otherwise for name in every() for condition in find(name).eligible]
    scores = {
        name: ScoreInput(*random.choice([(random.random(), None), (None, random.choice(refusals))]), "1", 90)
        for name in every()
    }
    values: dict[str, list[Any]] = {
        "newsletter": [True, False], "recency_days": [3.0, 90.0, 200.0], "average_order_value": [20.0, 80.0],
        "orders_365d": [0, 3], "orders_total": [0, 2, 9], "value_tier": ["A", "D"], "country": ["DE", "US"],
        "open_complaints": [0, 2], "known_days": [1.0, 90.0], "acquisition_channel": ["search", "referral"],
        "subscription_days_left": [3.0, 80.0], "subscription_monthly_amount": [9.5],
    }  # fmt: skip
    facts = {name: random.choice([*choices, *choices, None]) for name, choices in values.items()}
    at = datetime(2026, 11, 30, 12, tzinfo=UTC)
    contacts = [
        Contact(
            str(number), random.choice(["reminder", "win_back_letter"]), "grow",
            random.choice(["email", "post"]), MARKETING, SENT, at - timedelta(days=random.randint(0, 9)),
            outcomes=frozenset(random.choice([[], ["rejected"]])),
        )
        for number in range(random.randint(0, 2))
    ]  # fmt: skip
    consents = {"email": ChannelConsent(unsubscribed=random.choice([0, 5]), spam=random.choice([0, 0, 5]))}
    return CustomerContext(
        key, scores, facts, in_holdout=random.random() < 0.1, contacts=contacts, consents=consents, at=at,
        unknown=random.choice([None, None, None, UNBUILT]),
    )  # fmt: skip


def test_every_reason_of_a_decision_reads_as_chinese() -> None:
    catalogue = parse(EXAMPLE.read_bytes() + CATALOGUE.encode(), "actions.toml")
    names, random = names_in("zh", catalogue.canonical), Random(1)
    day, texts = (date(2026, 11, 30) - EPOCH).days, {}
    for key in range(400):
        made = recommend(random_customer(random, key), catalogue, day, b"salt")
        for option in (made.chosen, *made.runners_up, *made.not_offered):
            texts |= {why.words("zh", names): why.code for why in option.why}
    assert {text: blemishes(text) for text in texts if blemishes(text)} == {}
    assert len({*texts.values()}) > 25
    assert any("“九折券”" in text or "“免运费”" in text for text in texts)


def test_countries_and_currencies_have_chinese_names() -> None:
    assert [country_in_chinese(c) for c in ("DE", "United Kingdom", "EIRE", "other", "ZZ")] == [
        "德国", "英国", "爱尔兰", "其他", "ZZ",
    ]  # fmt: skip
    assert [currency_in_chinese(code) for code in ("GBP", "XXX")] == ["英镑", "XXX"]
