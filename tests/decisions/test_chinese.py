"""Reasons of rules in Chinese: named features, units, percentages, full-width marks, and no codes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from decisions import chinese
from decisions.context import ScoreInput
from decisions.rules.conditions import rule_of
from decisions.rules.dates import CUSTOMER_DATES, FESTIVALS
from decisions.rules.evaluation import RuleInput, mismatch
from features.groups import FEATURES
from models.questions import every


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
    assert {*FEATURES, *every()} == {*chinese.FEATURES, *chinese.FLAGS}
    assert {"birthday", *CUSTOMER_DATES, *FESTIVALS} == {*chinese.DATES}
    for name, _ in chinese.FEATURES.values():
        assert not re.search("[A-Za-z_]", name)
